import type { ChunkId, LogIndex } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { ChunkIndex } from "./chunk-index.ts";
import type { LostReplica } from "./lost-replica.ts";

/** Number of noted losses that memory has room for. If more are noted, a pass over the table begins. */
const FRESH_MAX = 1000;
/** Time from the end of one pass over the losses to the start of the next one. */
const PASS_INTERVAL_MS = 60_000;

/** Losses in one heartbeat. */
export interface LossReport {
  readonly lost: readonly LostReplica[];
  /** Where the pass continues after the answer. Null: at its end. Undefined: no pass is in progress. */
  readonly passedTo: ChunkId | null | undefined;
}

/** The master's answer to a report of losses. */
export interface LossAnswer {
  /**
   * The intent floor before the leader recorded the report. No commit under an older intent can succeed
   * after the report. Undefined if the leader did not state it.
   */
  readonly intentFloor: LogIndex | undefined;
}

/**
 * Selects the losses (table L of the index) for each heartbeat.
 *
 * A loss that is noted is in the next heartbeat that has room for it. It stays in the table until it is final:
 * until then a commit may still record the lost replica, because the client has the receipt of its seal. So the
 * losses in the table are reported again and again, in passes over the table. The first pass begins at the start
 * of the process, and each next one `PASS_INTERVAL_MS` after the end of the one before. It begins at once if more
 * losses were noted than memory has room for.
 */
export class LossReports {
  readonly #index: ChunkIndex;
  readonly #clock: Clock;
  /** Losses that no answered report contains, with their intents. */
  readonly #fresh = new Map<ChunkId, LogIndex>();
  /** Whether losses were noted that `#fresh` has no room for. */
  #isOverflown = false;
  #passedTo: ChunkId | null = null;
  /** Monotonic time at which the next pass begins. In the past during a pass. */
  #passDueMs = 0;

  constructor(index: ChunkIndex, clock: Clock) {
    this.#index = index;
    this.#clock = clock;
  }

  /** Notes a loss that was added to the table. */
  note(chunkId: ChunkId, intentIndex: LogIndex): void {
    if (this.#fresh.size < FRESH_MAX) this.#fresh.set(chunkId, intentIndex);
    else this.#isOverflown = true;
  }

  /** Returns up to `limit` losses for the next report. */
  next(limit: number): LossReport {
    const lost = new Map<ChunkId, LostReplica>();
    for (const chunkId of this.#fresh.keys()) {
      if (lost.size === limit) break;
      const loss = this.#index.loss(chunkId);
      // Without a row the chunk was sealed again.
      if (loss === null) this.#fresh.delete(chunkId);
      else lost.set(chunkId, loss);
    }
    const pageLimit = limit - lost.size;
    const isDue = this.#isOverflown || this.#clock.monotonicMs() >= this.#passDueMs;
    if (pageLimit === 0 || !isDue) return { lost: [...lost.values()], passedTo: undefined };
    const page = this.#index.lostAfter(this.#passedTo, pageLimit);
    for (const loss of page) lost.set(loss.chunkId, loss);
    const passedTo = page.length < pageLimit ? null : (page.at(-1)?.chunkId ?? null);
    return { lost: [...lost.values()], passedTo };
  }

  /** Removes the losses that are final from the table, after the master has answered their report. */
  async answered({ lost, passedTo }: LossReport, { intentFloor }: LossAnswer): Promise<void> {
    for (const { chunkId, intentIndex } of lost) {
      if (this.#fresh.get(chunkId) === intentIndex) this.#fresh.delete(chunkId);
    }
    if (passedTo !== undefined) this.#continueAfter(passedTo);
    const final = lost.filter(
      ({ intentIndex }) =>
        intentFloor === undefined || intentIndex === null || intentIndex < intentFloor,
    );
    if (final.length === 0) return;
    await this.#index.change((operation) => {
      for (const { chunkId, intentIndex } of final) {
        // The chunk may have been sealed and lost again since the report.
        if (operation.loss(chunkId)?.intentIndex === intentIndex) operation.forgetLost(chunkId);
      }
    });
  }

  #continueAfter(passedTo: ChunkId | null): void {
    this.#passedTo = passedTo;
    if (passedTo !== null) return;
    this.#passDueMs = this.#clock.monotonicMs() + (this.#isOverflown ? 0 : PASS_INTERVAL_MS);
    this.#isOverflown = false;
  }
}
