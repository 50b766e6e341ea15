import type { FileSystem } from "../../../client/file-system.ts";
import type { WatchCursor } from "../../../client/options.ts";
import type { WatchEvent } from "../../../client/results.ts";
import { type AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import type { Clock } from "../../../shared/ports/clock.ts";
import { type FeedRecord, isBefore, type Place } from "./feed-record.ts";
import type { World } from "./simulation-environment.ts";
import { Violation } from "./violation.ts";
import type { NameOperation } from "./workload.ts";

const WATCH_TIMEOUT_MS = 10_000;
const AGAIN_MS = 500;

/** Events that had expired before they were read: from a place up to the oldest index that is left. */
interface Gap {
  readonly from: Place;
  readonly oldestIndex: number;
}

export interface FeedWatchOptions {
  readonly name: string;
  readonly record: FeedRecord;
  /** For so long at most a message waits before it is read. */
  readonly lateMsMax: number;
  readonly committedIndex: () => number;
}

/** One life of who watches. */
export interface WatchingLife {
  readonly clock: Clock;
  readonly fs: FileSystem;
}

/**
 * Watches everything from the beginning to the end, over all that befalls the masters and itself
 * (G15): events come in order, each once, and of everything that a client was told was done there is
 * one. What it has read it remembers over its lives, as a program would that writes it down.
 */
export class FeedWatch {
  readonly #world: World;
  readonly #name: string;
  readonly #record: FeedRecord;
  /** By the index of the entry: paths that its events name. */
  readonly #pathsByIndex = new Map<number, string[]>();
  readonly #given = new Set<string>();
  readonly #gaps: Gap[] = [];
  /** Indexes of which a master with a rotten state may have told, first to last. */
  readonly #doubtful: Array<{ readonly from: number; readonly to: number }> = [];
  readonly #lateMsMax: number;
  readonly #committedIndex: () => number;
  #first: Place = { index: 0, sequence: 0 };
  #last: Place = { index: 0, sequence: -1 };
  /** All events before it were given. */
  #next: Place = { index: 0, sequence: 0 };
  #life: WatchingLife | null = null;
  #isOver = false;
  eventCount = 0;

  constructor(world: World, options: FeedWatchOptions) {
    this.#world = world;
    this.#name = options.name;
    this.#record = options.record;
    this.#lateMsMax = options.lateMsMax;
    this.#committedIndex = options.committedIndex;
  }

  /** How often it was told that what it wants is gone. */
  get gapCount(): number {
    return this.#gaps.length;
  }

  /** Everything at and after `index` counts. */
  begin(index: number): void {
    this.#first = { index, sequence: 0 };
    this.#next = this.#first;
  }

  /** From where it is, until `stop` or the next life. */
  async run(life: WatchingLife): Promise<void> {
    this.#life = life;
    while (!this.#isOver && this.#life === life) {
      try {
        await this.#watch(life);
      } catch (error) {
        this.#onEnd(life, error);
      }
      await life.clock.sleep(AGAIN_MS);
    }
  }

  /** Who starts again knows only the index of the last event: that entry's are given once more. */
  forgetPlace(): void {
    if (this.#last.sequence < 0 || this.#gaps.at(-1)?.oldestIndex === this.#next.index) return;
    this.#next = { index: this.#last.index, sequence: 0 };
    this.#last = { index: this.#last.index, sequence: -1 };
  }

  stop(): void {
    this.#isOver = true;
  }

  /** Whether the events of the entry at `index` were given, if there are any. */
  isBeyond(index: number): boolean {
    return this.#next.index > index || this.#last.index >= index;
  }

  /**
   * @param upTo the last index whose events it must have been given
   * @throws {Violation} if there is no event of something that was done, or of what others were given
   */
  check(history: readonly NameOperation[], upTo: number): void {
    for (const { key, input, output } of history) {
      if (input.kind === "read" || output?.kind !== "done") continue;
      const { version } = output;
      if (this.#isExcused({ index: version, sequence: 0 })) continue;
      const paths = this.#pathsByIndex.get(version) ?? [];
      if (paths.some((path) => path.startsWith(`${key}/`))) continue;
      const text = `${key} ${JSON.stringify(input)} at index ${version}`;
      throw new Violation(`The feed has no event of ${text} for ${this.#name}`, [`${version}`]);
    }
    for (const place of this.#record.places) {
      const { index, sequence } = place;
      if (index > upTo || this.#isExcused(place)) continue;
      if (this.#given.has(`${index}:${sequence}`)) continue;
      throw new Violation(`${this.#name} was never given event ${index}:${sequence}`, [`${index}`]);
    }
  }

  /**
   * A place is not refused while nothing behind it was lost (docs/decisions/0008-feed.md).
   *
   * @param other who was given the events, unless they were lost to it too
   */
  checkGaps(other: FeedWatch): void {
    for (const { from, oldestIndex } of this.#gaps) {
      const isLost = this.#record.places.some(
        (place) => !isBefore(place, from) && place.index < oldestIndex,
      );
      const isUnknown = other.#gaps.some(
        (gap) => gap.from.index < oldestIndex && gap.oldestIndex > from.index,
      );
      if (isLost || isUnknown) continue;
      const text = `${this.#name} is sent from ${from.index}:${from.sequence} to ${oldestIndex}`;
      throw new Violation(`${text}, and nothing was lost between`);
    }
  }

  /** Whether it need not have been given what is there: the watch began later, or it was lost. */
  #isExcused(place: Place): boolean {
    if (isBefore(place, this.#first)) return true;
    const { index } = place;
    const isLost = this.#gaps.some(({ from, oldestIndex }) => {
      return index < oldestIndex && index >= from.index;
    });
    return isLost || this.#doubtful.some(({ from, to }) => from <= index && index <= to);
  }

  get #isInDoubt(): boolean {
    return this.#world.wasDoubted(this.#world.clock.monotonicMs() - this.#lateMsMax);
  }

  #doubt(next: Place): void {
    this.#doubtful.push({ from: Math.min(this.#next.index, next.index), to: next.index });
  }

  async #watch(life: WatchingLife): Promise<void> {
    const events = life.fs.watch("/", {
      from: this.#next,
      timeoutMs: WATCH_TIMEOUT_MS,
      onProgress: (next) => this.#onProgress(life, next),
    });
    for await (const event of events) this.#onEvent(life, event);
  }

  #onProgress(life: WatchingLife, next: WatchCursor): void {
    if (this.#life !== life) return;
    if (this.#isInDoubt) this.#doubt(next);
    this.#next = next;
  }

  #onEvent(life: WatchingLife, event: WatchEvent): void {
    if (this.#life !== life) return;
    const { index, sequence, next } = event;
    const isInDoubt = this.#isInDoubt;
    if (isInDoubt) this.#doubt(next);
    if (!isBefore(this.#last, event) && !isInDoubt) {
      const text = `${index}:${sequence} after ${this.#last.index}:${this.#last.sequence}`;
      throw new Violation(`The feed gives ${this.#name} event ${text}`);
    }
    if (!isInDoubt) this.#record.note(event);
    this.#last = { index, sequence };
    this.#next = next;
    this.#world.trace.mix(index);
    const key = `${index}:${sequence}`;
    if (this.#given.has(key)) return;
    this.#given.add(key);
    this.eventCount += 1;
    const paths = this.#pathsByIndex.get(index) ?? [];
    if (event.path !== null) paths.push(new TextDecoder().decode(event.path));
    this.#pathsByIndex.set(index, paths);
  }

  /** It asks again until a master that is well answers; an index that there is may be the truth. */
  #onDoubtfulEnd({ code, details }: AshlarError): void {
    const oldestIndex = Number(details["oldestIndex"]);
    const isPossible = oldestIndex <= this.#committedIndex() + 1 && oldestIndex > this.#next.index;
    if (code !== "INDEX_EXPIRED" || !isPossible) return;
    const next = { index: oldestIndex, sequence: 0 };
    this.#doubt(next);
    this.#next = next;
  }

  #onEnd(life: WatchingLife, error: unknown): void {
    if (this.#isOver || this.#life !== life) return;
    if (!isAshlarError(error)) throw error;
    const isInDoubt = this.#isInDoubt;
    this.#world.trace.note(this.#name, `the watch ends: ${error.code} ${error.message}`);
    if (isInDoubt) {
      this.#onDoubtfulEnd(error);
      return;
    }
    if (error.code !== "INDEX_EXPIRED") {
      if (error.retry === "never" && error.code !== "DEADLINE_EXCEEDED") throw error;
      return;
    }
    // Who was away for longer than the retention, or whose masters' calendars jumped.
    const oldestIndex = Number(error.details["oldestIndex"]);
    if (!(oldestIndex > this.#next.index)) {
      throw new Violation(`The feed lacks what it has: ${error.message}`);
    }
    this.#gaps.push({ from: this.#next, oldestIndex });
    this.#next = { index: oldestIndex, sequence: 0 };
  }
}
