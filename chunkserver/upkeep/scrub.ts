import { AshlarError } from "../../shared/base/errors.ts";
import type { ChunkId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Counter } from "../../shared/ports/metrics.ts";
import { FRAME_BYTES_MAX } from "../../shared/protocol/chunk-api.ts";
import type { ChunkStore } from "../store/chunk-store.ts";
import { pause } from "./repeat.ts";

const DAY_MS = 86_400_000;
/** Chunks whose files are looked at before others have their turn. */
const INSPECT_PAGE = 64;
/** The position is kept after so much work, so that a restart does not begin anew. */
const KEEP_POSITION_MS = 60_000;
/** Waits shorter than this are saved up. */
const PAUSE_MS_MIN = 10;

export interface ScrubOptions {
  readonly store: ChunkStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly bytesPerSecond: number;
  /** A pass takes no longer, whatever the rate. */
  readonly passDaysMax: number;
  readonly bytesProved: Counter;
  readonly signal: AbortSignal;
}

/**
 * Reads everything again, slowly, and compares it with its hashes. Rot that nobody happens to read
 * is found while other copies are still good.
 */
export class Scrub {
  readonly #options: ScrubOptions;
  readonly #buffer: Uint8Array;
  /** When the next read may begin, on the monotonic clock. */
  #nextReadMs = 0;
  #passStartedMs: number | null = null;
  #rottenCount = 0;

  constructor(options: ScrubOptions) {
    this.#options = options;
    this.#buffer = options.store.allocate(FRAME_BYTES_MAX);
  }

  /** Rotten copies that this process has found. */
  get rottenCount(): number {
    return this.#rottenCount;
  }

  /** Looks once whether the extent files are there in full length, without reading them. */
  async inspect(): Promise<void> {
    const { store, clock, signal } = this.#options;
    let after: ChunkId | null = null;
    do {
      after = await store.inspect(after, INSPECT_PAGE);
      await clock.yieldTurn();
    } while (after !== null && !signal.aborted);
  }

  /** One pass over all chunks, from where the last one was left. */
  async pass(): Promise<void> {
    const { store, clock, log, signal } = this.#options;
    this.#passStartedMs = clock.monotonicMs();
    let position = store.scrubPosition();
    let keptMs = clock.monotonicMs();
    for (;;) {
      const [chunkId] = store.chunkIdsAfter(position, 1);
      if (chunkId === undefined || signal.aborted) break;
      const verdict = await store.examine(chunkId, this.#buffer, (bytes) => this.#pace(bytes));
      if (verdict === "rotten") this.#rottenCount += 1;
      position = chunkId;
      if (clock.monotonicMs() - keptMs < KEEP_POSITION_MS) continue;
      await store.setScrubPosition(position);
      keptMs = clock.monotonicMs();
    }
    await store.setScrubPosition(signal.aborted ? position : null);
    const seconds = Math.round((clock.monotonicMs() - this.#passStartedMs) / 1000);
    if (!signal.aborted) log.debug("The scrub has read everything", { seconds });
  }

  /** How long the next pass waits: passes begin a day apart, or half of the longest one's time. */
  restMs(): number {
    const { clock, passDaysMax } = this.#options;
    if (this.#passStartedMs === null) return 0;
    const intervalMs = Math.min(1, passDaysMax / 2) * DAY_MS;
    return Math.max(0, this.#passStartedMs + intervalMs - clock.monotonicMs());
  }

  async #pace(bytes: number): Promise<void> {
    const { clock, store, bytesPerSecond, passDaysMax, signal, bytesProved } = this.#options;
    if (signal.aborted) throw new AshlarError("CANCELLED", "The scrub was stopped");
    bytesProved.add(bytes);
    const rateOfPass = store.tally.chunkBytes / ((passDaysMax * DAY_MS) / 1000);
    const rate = Math.max(bytesPerSecond, rateOfPass);
    const nowMs = clock.monotonicMs();
    this.#nextReadMs = Math.max(this.#nextReadMs, nowMs) + (bytes / rate) * 1000;
    const waitMs = this.#nextReadMs - nowMs;
    if (waitMs >= PAUSE_MS_MIN) await pause(clock, waitMs, signal);
    else await clock.yieldTurn();
  }
}
