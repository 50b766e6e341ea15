import type { ChunkId, LogIndex } from "../../shared/base/ids.ts";
import type { HeartbeatRequest } from "../../shared/protocol/fleet-api.ts";

/** Facts of one kind told in one heartbeat, and kept at a time. */
const TOLD_MAX = 1000;
const KEPT_MAX = 20_000;

/** What a heartbeat tells of finished work. */
export type ToldFacts = Pick<HeartbeatRequest, "copied" | "copyFailed" | "purged">;

/**
 * What happened since the last heartbeat that was answered.
 *
 * A fact is told until a heartbeat with it was answered. It may be forgotten before (a restart, too
 * many of them): the master then repeats its order, and doing it again changes nothing.
 */
export class Facts {
  readonly #copied = new Map<ChunkId, LogIndex>();
  readonly #copyFailed = new Map<ChunkId, string>();
  readonly #purged = new Map<ChunkId, LogIndex>();

  copied(chunkId: ChunkId, intentIndex: LogIndex): void {
    keep(this.#copied, chunkId, intentIndex);
  }

  copyFailed(chunkId: ChunkId, reason: string): void {
    keep(this.#copyFailed, chunkId, reason.slice(0, 1000));
  }

  purged(chunkId: ChunkId, purgeIndex: LogIndex): void {
    keep(this.#purged, chunkId, purgeIndex);
  }

  /** For the next heartbeat. */
  told(): ToldFacts {
    return {
      copied: first(this.#copied).map(([chunkId, intentIndex]) => ({ chunkId, intentIndex })),
      copyFailed: first(this.#copyFailed).map(([chunkId, reason]) => ({ chunkId, reason })),
      purged: first(this.#purged).map(([chunkId, purgeIndex]) => ({ chunkId, purgeIndex })),
    };
  }

  /** The heartbeat that told them was answered. What became another fact since is kept. */
  answered(told: ToldFacts): void {
    for (const { chunkId, intentIndex } of told.copied) {
      if (this.#copied.get(chunkId) === intentIndex) this.#copied.delete(chunkId);
    }
    for (const { chunkId, reason } of told.copyFailed) {
      if (this.#copyFailed.get(chunkId) === reason) this.#copyFailed.delete(chunkId);
    }
    for (const { chunkId, purgeIndex } of told.purged) {
      if (this.#purged.get(chunkId) === purgeIndex) this.#purged.delete(chunkId);
    }
  }
}

function keep<T>(facts: Map<ChunkId, T>, chunkId: ChunkId, fact: T): void {
  facts.delete(chunkId);
  facts.set(chunkId, fact);
  if (facts.size <= KEPT_MAX) return;
  for (const oldest of facts.keys()) {
    facts.delete(oldest);
    return;
  }
}

function first<T>(facts: ReadonlyMap<ChunkId, T>): readonly (readonly [ChunkId, T])[] {
  const entries: (readonly [ChunkId, T])[] = [];
  for (const entry of facts) {
    if (entries.push(entry) === TOLD_MAX) break;
  }
  return entries;
}
