import { AshlarError } from "../../shared/base/errors.ts";
import type { ChunkId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Counter } from "../../shared/ports/metrics.ts";
import { FRAME_BYTES_MAX } from "../../shared/protocol/chunk-api.ts";
import type { ChunkStore } from "../store/chunk-store.ts";
import { pause } from "./repeat.ts";

const DAY_MS = 86_400_000;
/** Number of chunks whose files are checked without a pause for other tasks. */
const INSPECT_PAGE = 64;
/** Interval at which the position is stored, so that a restart continues from it. */
const KEEP_POSITION_MS = 60_000;
/** Shortest pause in milliseconds. Shorter pauses are accumulated. */
const PAUSE_MS_MIN = 10;

/** Dependencies and limits of `Scrub`. */
export interface ScrubDeps {
  readonly store: ChunkStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly bytesPerSecond: number;
  /** Longest duration of a pass in days. It overrides the rate. */
  readonly passDaysMax: number;
  readonly bytesScrubbed: Counter;
  readonly signal: AbortSignal;
}

/**
 * Reads all chunks slowly and compares them with their hashes. So bit rot in chunks that no client
 * reads is found while other replicas are intact.
 */
export class Scrub {
  readonly #options: ScrubDeps;
  readonly #buffer: Uint8Array;
  /** Monotonic time at which the next read may start. */
  #nextReadMs = 0;
  #passStartedMs: number | null = null;
  #corruptCount = 0;

  constructor(options: ScrubDeps) {
    this.#options = options;
    this.#buffer = options.store.allocateBuffer(FRAME_BYTES_MAX);
  }

  /** Number of corrupt replicas that this process has found. */
  get corruptCount(): number {
    return this.#corruptCount;
  }

  /** Checks once that all extent files exist in full length, without reading them. */
  async checkExtentFiles(): Promise<void> {
    const { store, clock, signal } = this.#options;
    let after: ChunkId | null = null;
    do {
      after = await store.checkExtentFiles(after, INSPECT_PAGE);
      await clock.yieldTurn();
    } while (after !== null && !signal.aborted);
  }

  /** Runs one pass over all chunks, from the stored position. */
  async pass(): Promise<void> {
    const { store, clock, log, signal } = this.#options;
    this.#passStartedMs = clock.monotonicMs();
    let position = store.scrubPosition();
    let keptMs = clock.monotonicMs();
    for (;;) {
      const [chunkId] = store.chunkIdsAfter(position, 1);
      if (chunkId === undefined || signal.aborted) break;
      const result = await store.verify(chunkId, this.#buffer, (bytes) => this.#pace(bytes));
      if (result === "corrupt") this.#corruptCount += 1;
      position = chunkId;
      if (clock.monotonicMs() - keptMs < KEEP_POSITION_MS) continue;
      await store.setScrubPosition(position);
      keptMs = clock.monotonicMs();
    }
    await store.setScrubPosition(signal.aborted ? position : null);
    const seconds = Math.round((clock.monotonicMs() - this.#passStartedMs) / 1000);
    if (!signal.aborted) log.debug("The scrub has read all chunks", { seconds });
  }

  /**
   * Returns the delay until the next pass: one pass a day, or two in the longest duration of a
   * pass.
   */
  delayMs(): number {
    const { clock, passDaysMax } = this.#options;
    if (this.#passStartedMs === null) return 0;
    const intervalMs = Math.min(1, passDaysMax / 2) * DAY_MS;
    return Math.max(0, this.#passStartedMs + intervalMs - clock.monotonicMs());
  }

  async #pace(bytes: number): Promise<void> {
    const { clock, store, bytesPerSecond, passDaysMax, signal, bytesScrubbed } = this.#options;
    if (signal.aborted) throw new AshlarError("CANCELLED", "The scrub was stopped");
    bytesScrubbed.add(bytes);
    const passRate = store.totals.chunkBytes / ((passDaysMax * DAY_MS) / 1000);
    const rate = Math.max(bytesPerSecond, passRate);
    const nowMs = clock.monotonicMs();
    this.#nextReadMs = Math.max(this.#nextReadMs, nowMs) + (bytes / rate) * 1000;
    const waitMs = this.#nextReadMs - nowMs;
    if (waitMs >= PAUSE_MS_MIN) await pause(clock, waitMs, signal);
    else await clock.yieldTurn();
  }
}
