import type { ChunkId, LogIndex } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";

/** Number of copies that memory has room for. A later read or the scrub finds the others again. */
const COPIES_MAX = 1000;
/** Time after which a copy that still cannot be read is reported again. */
const REPEAT_MS = 60_000;

/** A copy that the disk cannot read, and that is kept. */
export interface UnreadableCopy {
  readonly chunkId: ChunkId;
  /** Intent under which the copy was sealed. */
  readonly intentIndex: LogIndex;
  readonly reason: string;
}

/**
 * The copies that the disk could not read at their last read.
 *
 * Their records and bytes stay: the error may pass, and it may concern all copies of a chunk. The
 * copy is reported to the masters until it was read, replaced or removed. They stop counting
 * the copy if another one exists, and then the confirmation of the chunk decides when it may be
 * deleted (docs/decisions/0025).
 */
export class UnreadableCopies {
  readonly #clock: Clock;
  readonly #copies = new Map<ChunkId, UnreadableCopy>();
  /** Monotonic time at which the copy is reported. */
  readonly #reportDueMs = new Map<ChunkId, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get count(): number {
    return this.#copies.size;
  }

  has(chunkId: ChunkId): boolean {
    return this.#copies.has(chunkId);
  }

  /** @returns whether the copy was not noted before */
  note(copy: UnreadableCopy): boolean {
    const isNew = !this.#copies.has(copy.chunkId);
    if (isNew && this.#copies.size >= COPIES_MAX) return false;
    this.#copies.set(copy.chunkId, copy);
    if (isNew) this.#reportDueMs.set(copy.chunkId, this.#clock.monotonicMs());
    return isNew;
  }

  /** The copy was read as a whole, replaced or removed. */
  forget(chunkId: ChunkId): void {
    this.#copies.delete(chunkId);
    this.#reportDueMs.delete(chunkId);
  }

  /** Returns up to `limit` copies for the next report. */
  next(limit: number): readonly UnreadableCopy[] {
    const nowMs = this.#clock.monotonicMs();
    const due: UnreadableCopy[] = [];
    for (const [chunkId, copy] of this.#copies) {
      if (due.length === limit) break;
      if ((this.#reportDueMs.get(chunkId) ?? 0) <= nowMs) due.push(copy);
    }
    return due;
  }

  /** Records that the master has answered a report. */
  answered(report: readonly UnreadableCopy[]): void {
    const dueMs = this.#clock.monotonicMs() + REPEAT_MS;
    for (const { chunkId } of report) {
      if (this.#copies.has(chunkId)) this.#reportDueMs.set(chunkId, dueMs);
    }
  }
}
