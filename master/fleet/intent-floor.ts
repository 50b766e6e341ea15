import type { LogIndex } from "../../shared/base/ids.ts";

/** One reading: what the log's index was at a moment. */
interface Sample {
  readonly index: LogIndex;
  readonly atMs: number;
}

/**
 * When intents grow too old to commit under.
 *
 * The leader raises the floor, by an entry, to an index that is a full lifetime old on its own
 * clock; from that entry on no commit under an older intent can succeed, whatever any clock says.
 * Only then is a chunkserver told that an uncommitted chunk is unknown, so what it drops can never
 * be committed afterwards (docs/decisions/0002).
 */
export class IntentFloor {
  readonly #lifetimeMs: number;
  #samples: Sample[] = [];

  constructor(options: { readonly lifetimeMs: number }) {
    this.#lifetimeMs = options.lifetimeMs;
  }

  /** A new leader has seen no time pass: it starts to count from its own election. */
  reset(): void {
    this.#samples = [];
  }

  /**
   * Takes a reading. Called every second or so.
   *
   * @returns the index that the floor may be raised to, or null if none is old enough.
   */
  observe(index: LogIndex, nowMs: number): LogIndex | null {
    const last = this.#samples.at(-1);
    // Every raise is an entry: ten in a lifetime are exact enough, and an idle log stays short.
    const spacingMs = this.#lifetimeMs / 10;
    if (last === undefined || nowMs - last.atMs >= spacingMs) {
      this.#samples.push({ index, atMs: nowMs });
    }
    let floor: LogIndex | null = null;
    while ((this.#samples[0]?.atMs ?? nowMs) <= nowMs - this.#lifetimeMs) {
      floor = this.#samples.shift()?.index ?? floor;
    }
    return floor;
  }
}
