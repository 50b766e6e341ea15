import type { LogIndex } from "../../shared/base/ids.ts";

/** The applied index at one time. */
interface Sample {
  readonly index: LogIndex;
  /** Time of the sample, on the monotonic clock. */
  readonly atMs: number;
}

/**
 * Computes the intent floor: the index below which intents are expired.
 *
 * The leader proposes an entry that raises the floor to an index that is a full intent lifetime old
 * on its own clock. After that entry no commit under an older intent can succeed, independent of
 * any clock. The leader reports an uncommitted chunk as unknown only below the floor. Therefore a
 * chunk that a chunkserver drops can never be committed later (docs/decisions/0002).
 */
export class IntentFloor {
  readonly #lifetimeMs: number;
  #samples: Sample[] = [];

  constructor(options: { readonly lifetimeMs: number }) {
    this.#lifetimeMs = options.lifetimeMs;
  }

  /** Drops all samples. A new leader measures the lifetime from its own election. */
  reset(): void {
    this.#samples = [];
  }

  /**
   * Takes a sample. Called about once a second.
   *
   * @returns the index to which the floor can be raised, or null if no sample is old enough
   */
  observe(index: LogIndex, nowMs: number): LogIndex | null {
    const last = this.#samples.at(-1);
    // Each raise costs a log entry. Ten raises in one lifetime are sufficient for an idle log.
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
