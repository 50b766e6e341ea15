import type { ChunkId, LogIndex } from "../../shared/base/ids.ts";
import { type HeartbeatRequest, REPORTS_SENT_MAX } from "../../shared/protocol/fleet-api.ts";

/** Maximum number of kept results of one kind. */
const KEPT_MAX = 20_000;

/** The results of finished orders in a heartbeat. */
export type ReportedResults = Pick<HeartbeatRequest, "copied" | "copyFailed" | "purged">;

/**
 * The results of the master's orders that no answered heartbeat has reported yet.
 *
 * A result is reported until a heartbeat with it was answered. It may be lost before that (a
 * restart, or too many results). The master then repeats its order, and a repeated order changes
 * nothing.
 */
export class OrderResults {
  readonly #copied = new Map<ChunkId, LogIndex>();
  readonly #copyFailed = new Map<ChunkId, string>();
  readonly #purged = new Map<ChunkId, LogIndex>();

  /** Records that a chunk was copied to this server under `intentIndex`. */
  copied(chunkId: ChunkId, intentIndex: LogIndex): void {
    keep(this.#copied, chunkId, intentIndex);
  }

  /** Records why a copy order failed. */
  copyFailed(chunkId: ChunkId, reason: string): void {
    keep(this.#copyFailed, chunkId, reason.slice(0, 1000));
  }

  /** Records that a purge order was carried out. */
  purged(chunkId: ChunkId, purgeIndex: LogIndex): void {
    keep(this.#purged, chunkId, purgeIndex);
  }

  /** Returns the results for the next heartbeat. */
  pending(): ReportedResults {
    return {
      copied: first(this.#copied).map(([chunkId, intentIndex]) => ({ chunkId, intentIndex })),
      copyFailed: first(this.#copyFailed).map(([chunkId, reason]) => ({ chunkId, reason })),
      purged: first(this.#purged).map(([chunkId, purgeIndex]) => ({ chunkId, purgeIndex })),
    };
  }

  /** Removes the results of an answered heartbeat. A newer result of the same chunk is kept. */
  acknowledge(reported: ReportedResults): void {
    for (const { chunkId, intentIndex } of reported.copied) {
      if (this.#copied.get(chunkId) === intentIndex) this.#copied.delete(chunkId);
    }
    for (const { chunkId, reason } of reported.copyFailed) {
      if (this.#copyFailed.get(chunkId) === reason) this.#copyFailed.delete(chunkId);
    }
    for (const { chunkId, purgeIndex } of reported.purged) {
      if (this.#purged.get(chunkId) === purgeIndex) this.#purged.delete(chunkId);
    }
  }
}

function keep<T>(results: Map<ChunkId, T>, chunkId: ChunkId, result: T): void {
  results.delete(chunkId);
  results.set(chunkId, result);
  if (results.size <= KEPT_MAX) return;
  for (const oldest of results.keys()) {
    results.delete(oldest);
    return;
  }
}

function first<T>(results: ReadonlyMap<ChunkId, T>): readonly (readonly [ChunkId, T])[] {
  const entries: (readonly [ChunkId, T])[] = [];
  for (const entry of results) {
    if (entries.push(entry) === REPORTS_SENT_MAX) break;
  }
  return entries;
}
