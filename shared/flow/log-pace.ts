import type { Clock } from "../ports/clock.ts";

/** Shortest time between two log lines about one key, in milliseconds. */
const INTERVAL_MS = 60_000;

/** Limits the log lines about an event that repeats: the first one, and then one a minute with the count of the others. */
export class LogPace<Key> {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #entries = new Map<Key, { readonly loggedMs: number; unloggedCount: number }>();

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /**
   * Counts an event. Keys are few: they are kept until `forget`.
   *
   * @returns the number of events since the last line if the caller writes a line now, else null
   */
  admit(key: Key): number | null {
    const nowMs = this.#clock.monotonicMs();
    const entry = this.#entries.get(key);
    if (entry !== undefined && nowMs - entry.loggedMs < INTERVAL_MS) {
      entry.unloggedCount += 1;
      return null;
    }
    this.#entries.set(key, { loggedMs: nowMs, unloggedCount: 0 });
    return entry?.unloggedCount ?? 0;
  }

  /** The next event of `key` is logged. */
  forget(key: Key): void {
    this.#entries.delete(key);
  }
}
