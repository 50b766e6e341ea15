import type { Clock } from "../../../shared/ports/clock.ts";

/** The number of events that are kept as text. Up to twice as many are kept for a while. */
const RECENT_MAX = 20_000;

/** One recorded event. */
export interface TraceEvent {
  readonly atMs: number;
  /** The host on which the event happened. "simulation" for events of the simulation itself. */
  readonly host: string;
  readonly text: string;
}

/**
 * Trace of the events of one simulation, in order: a running hash over all events, which is equal
 * for equal runs, and the text of the most recent events.
 */
export class EventTrace {
  readonly #clock: Clock;
  #recent: TraceEvent[] = [];
  #low = 0x811c9dc5;
  #high = 0x01234567;
  count = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Adds an event with a text. The time and the text are mixed into the hash. */
  note(host: string, text: string): void {
    const atMs = this.#clock.monotonicMs();
    this.#recent.push({ atMs, host, text });
    if (this.#recent.length > 2 * RECENT_MAX) this.#recent = this.#recent.slice(-RECENT_MAX);
    this.mix(atMs);
    for (let index = 0; index < text.length; index += 1) this.#mixWord(text.charCodeAt(index));
  }

  /** Adds an event that is only mixed into the hash. It has no text. */
  mix(value: number): void {
    this.count += 1;
    this.#mixWord(Math.floor(value * 1024));
    this.#mixWord(Math.floor((value * 1024) / 2 ** 32));
  }

  #mixWord(word: number): void {
    this.#low = Math.imul(this.#low ^ word, 0x01000193) >>> 0;
    this.#high = (Math.imul(this.#high + word, 0x85ebca6b) ^ (this.#low >>> 13)) >>> 0;
  }

  /** The hash of all events so far, 16 hex digits. */
  get hash(): string {
    const digits = (word: number): string => word.toString(16).padStart(8, "0");
    return digits(this.#high) + digits(this.#low);
  }

  /** Returns the last `count` events that `isWanted` accepts, oldest first, one line per event. */
  last(count: number, isWanted: (event: TraceEvent) => boolean = () => true): string[] {
    return this.#recent
      .filter(isWanted)
      .slice(-count)
      .map(({ atMs, host, text }) => `${(atMs / 1000).toFixed(4).padStart(10)} ${host} ${text}`);
  }
}
