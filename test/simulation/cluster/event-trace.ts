import type { Clock } from "../../../shared/ports/clock.ts";

const RECENT_MAX = 20_000;

/** One thing that happened. */
export interface TraceEvent {
  readonly atMs: number;
  /** The host where it happened, or "world". */
  readonly host: string;
  readonly text: string;
}

/**
 * Everything that happens in a simulation, in order: as a running hash, which is the same for the
 * same seed, and the last of it as text.
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

  /** Something worth telling. */
  note(host: string, text: string): void {
    const atMs = this.#clock.monotonicMs();
    this.#recent.push({ atMs, host, text });
    if (this.#recent.length > 2 * RECENT_MAX) this.#recent = this.#recent.slice(-RECENT_MAX);
    this.mix(atMs);
    for (let place = 0; place < text.length; place += 1) this.#mixWord(text.charCodeAt(place));
  }

  /** Something that only the hash takes notice of. */
  mix(value: number): void {
    this.count += 1;
    this.#mixWord(Math.floor(value * 1024));
    this.#mixWord(Math.floor((value * 1024) / 2 ** 32));
  }

  #mixWord(word: number): void {
    this.#low = Math.imul(this.#low ^ word, 0x01000193) >>> 0;
    this.#high = (Math.imul(this.#high + word, 0x85ebca6b) ^ (this.#low >>> 13)) >>> 0;
  }

  /** 16 hex digits. */
  get hash(): string {
    const digits = (word: number): string => word.toString(16).padStart(8, "0");
    return digits(this.#high) + digits(this.#low);
  }

  /** The last `count` events that `isWanted`, oldest first. */
  last(count: number, isWanted: (event: TraceEvent) => boolean = () => true): string[] {
    return this.#recent
      .filter(isWanted)
      .slice(-count)
      .map(({ atMs, host, text }) => `${(atMs / 1000).toFixed(4).padStart(10)} ${host} ${text}`);
  }
}
