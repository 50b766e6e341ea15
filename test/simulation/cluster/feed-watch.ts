import type { FileSystem } from "../../../client/file-system.ts";
import type { WatchCursor } from "../../../client/options.ts";
import type { WatchEvent } from "../../../client/results.ts";
import { type AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import type { Clock } from "../../../shared/ports/clock.ts";
import { isBefore, type ReceivedEvents } from "./received-events.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";
import { Violation } from "./violation.ts";
import type { NameOperation } from "./workload.ts";

const WATCH_TIMEOUT_MS = 10_000;
const RETRY_MS = 500;

/** Range of the feed that had expired (INDEX_EXPIRED) before the watch read it. */
interface ExpiredRange {
  /** The position that the watch requested. */
  readonly from: WatchCursor;
  /** The oldest index that the master still had, according to the error. */
  readonly oldestIndex: number;
}

export interface FeedWatchDeps {
  /** Name of the watch in the trace and in violations. */
  readonly name: string;
  /** Shared by all watches. */
  readonly received: ReceivedEvents;
  /** Upper bound of the time between the sending of a message and its receipt by the watch. */
  readonly delayMsMax: number;
  /** Returns the highest index that is known to be committed. */
  readonly committedIndex: () => number;
}

/** Connection to the cluster, and clock, of one run of the watching process. */
export interface WatchConnection {
  readonly clock: Clock;
  readonly fs: FileSystem;
}

/**
 * Watches the whole tree during the whole simulation and checks G15: events arrive in order, each
 * once, and every change that was acknowledged to a client has an event. The received events and
 * the position survive restarts of the watching process, as in a program that stores them durably.
 */
export class FeedWatch {
  readonly #environment: SimulationEnvironment;
  readonly #name: string;
  readonly #received: ReceivedEvents;
  /** By log index: the paths in the events of the entry. */
  readonly #pathsByIndex = new Map<number, string[]>();
  /** Positions of all received events, as "index:sequence". */
  readonly #receivedKeys = new Set<string>();
  readonly #expiredRanges: ExpiredRange[] = [];
  /** Inclusive index ranges in which a master with a corrupt state may have sent events. */
  readonly #uncertainRanges: Array<{ readonly from: number; readonly to: number }> = [];
  readonly #delayMsMax: number;
  readonly #committedIndex: () => number;
  /** The start of the watch. Earlier events are not expected. */
  #first: WatchCursor = { index: 0, sequence: 0 };
  /** The position of the last received event. */
  #last: WatchCursor = { index: 0, sequence: -1 };
  /** The position from which the watch continues. All events before it were received. */
  #next: WatchCursor = { index: 0, sequence: 0 };
  #connection: WatchConnection | null = null;
  #hasEnded = false;
  /** Number of different events that were received. */
  eventCount = 0;

  constructor(environment: SimulationEnvironment, deps: FeedWatchDeps) {
    this.#environment = environment;
    this.#name = deps.name;
    this.#received = deps.received;
    this.#delayMsMax = deps.delayMsMax;
    this.#committedIndex = deps.committedIndex;
  }

  /** Number of INDEX_EXPIRED errors: the requested events were older than the retention. */
  get expiredCount(): number {
    return this.#expiredRanges.length;
  }

  /** Sets the start of the watch. The events at and after `index` are expected. */
  setStart(index: number): void {
    this.#first = { index, sequence: 0 };
    this.#next = this.#first;
  }

  /** Watches from the current position. Resolves after `stop` or the next call of `run`. */
  async run(connection: WatchConnection): Promise<void> {
    this.#connection = connection;
    while (!this.#hasEnded && this.#connection === connection) {
      try {
        await this.#watch(connection);
      } catch (error) {
        this.#onError(connection, error);
      }
      await connection.clock.sleep(RETRY_MS);
    }
  }

  /**
   * Keeps only the index of the last event, as in a program that stores no sequence. The events of
   * this entry are received again.
   */
  forgetPosition(): void {
    const isAfterExpiry = this.#expiredRanges.at(-1)?.oldestIndex === this.#next.index;
    if (this.#last.sequence < 0 || isAfterExpiry) return;
    this.#next = { index: this.#last.index, sequence: 0 };
    this.#last = { index: this.#last.index, sequence: -1 };
  }

  stop(): void {
    this.#hasEnded = true;
  }

  /** Returns whether all events of the entry at `index` were received, if the entry has events. */
  hasPassed(index: number): boolean {
    return this.#next.index > index || this.#last.index >= index;
  }

  /**
   * Checks that no event is missing.
   *
   * @param lastIndex the last index whose events the watch must have received
   * @throws {Violation} if an acknowledged change in `history` has no event, or if another watch
   *   has received an event that this watch has not
   */
  check(history: readonly NameOperation[], lastIndex: number): void {
    for (const { key, input, output } of history) {
      if (input.kind === "read" || output?.kind !== "done") continue;
      const { version } = output;
      if (this.#mayBeMissing({ index: version, sequence: 0 })) continue;
      const paths = this.#pathsByIndex.get(version) ?? [];
      if (paths.some((path) => path.startsWith(`${key}/`))) continue;
      const text = `${key} ${JSON.stringify(input)} at index ${version}`;
      throw new Violation(`${this.#name} received no event of ${text}`, [`${version}`]);
    }
    for (const position of this.#received.positions) {
      const { index, sequence } = position;
      if (index > lastIndex || this.#mayBeMissing(position)) continue;
      if (this.#receivedKeys.has(`${index}:${sequence}`)) continue;
      throw new Violation(`${this.#name} did not receive event ${index}:${sequence}`, [`${index}`]);
    }
  }

  /**
   * Checks that a position was refused only if an event after it was lost
   * (docs/decisions/0008-feed.md).
   *
   * @param other a watch that received the events of the expired ranges, unless its own ranges
   *   overlap
   * @throws {Violation} if an expired range contains no event
   */
  checkExpiredRanges(other: FeedWatch): void {
    for (const { from, oldestIndex } of this.#expiredRanges) {
      const isLost = this.#received.positions.some(
        (position) => !isBefore(position, from) && position.index < oldestIndex,
      );
      const isUnknown = other.#expiredRanges.some(
        (range) => range.from.index < oldestIndex && range.oldestIndex > from.index,
      );
      if (isLost || isUnknown) continue;
      const text = `${this.#name} is refused at ${from.index}:${from.sequence}`;
      throw new Violation(`${text}, but no event was lost before index ${oldestIndex}`);
    }
  }

  /** Returns whether an event may be missing: it is older than the watch, expired, or uncertain. */
  #mayBeMissing(position: WatchCursor): boolean {
    if (isBefore(position, this.#first)) return true;
    const { index } = position;
    const isLost = this.#expiredRanges.some(({ from, oldestIndex }) => {
      return index < oldestIndex && index >= from.index;
    });
    return isLost || this.#uncertainRanges.some(({ from, to }) => from <= index && index <= to);
  }

  /** Whether the data that arrives now may be from a master with a corrupt state. */
  get #isUncertain(): boolean {
    return this.#environment.hadAffectedMaster(
      this.#environment.clock.monotonicMs() - this.#delayMsMax,
    );
  }

  #addUncertainRange(next: WatchCursor): void {
    this.#uncertainRanges.push({ from: Math.min(this.#next.index, next.index), to: next.index });
  }

  async #watch(connection: WatchConnection): Promise<void> {
    const events = connection.fs.watch("/", {
      from: this.#next,
      timeoutMs: WATCH_TIMEOUT_MS,
      onProgress: (next) => this.#onProgress(connection, next),
    });
    for await (const event of events) this.#onEvent(connection, event);
  }

  #onProgress(connection: WatchConnection, next: WatchCursor): void {
    if (this.#connection !== connection) return;
    if (this.#isUncertain) this.#addUncertainRange(next);
    this.#next = next;
  }

  #onEvent(connection: WatchConnection, event: WatchEvent): void {
    if (this.#connection !== connection) return;
    const { index, sequence, next } = event;
    const isUncertain = this.#isUncertain;
    if (isUncertain) this.#addUncertainRange(next);
    if (!isBefore(this.#last, event) && !isUncertain) {
      const text = `${index}:${sequence} after ${this.#last.index}:${this.#last.sequence}`;
      throw new Violation(`${this.#name} receives event ${text}`);
    }
    if (!isUncertain) this.#received.add(event);
    this.#last = { index, sequence };
    this.#next = next;
    this.#environment.trace.mix(index);
    const key = `${index}:${sequence}`;
    if (this.#receivedKeys.has(key)) return;
    this.#receivedKeys.add(key);
    this.eventCount += 1;
    const paths = this.#pathsByIndex.get(index) ?? [];
    if (event.path !== null) paths.push(event.path);
    this.#pathsByIndex.set(index, paths);
  }

  /**
   * Handles an error that may be from a master with a corrupt state. The watch is retried until
   * another master answers, but a plausible oldest index is accepted, because it may be correct.
   */
  #onUncertainError({ code, details }: AshlarError): void {
    const oldestIndex = Number(details["oldestIndex"]);
    const isPossible = oldestIndex <= this.#committedIndex() + 1 && oldestIndex > this.#next.index;
    if (code !== "INDEX_EXPIRED" || !isPossible) return;
    const next = { index: oldestIndex, sequence: 0 };
    this.#addUncertainRange(next);
    this.#next = next;
  }

  #onError(connection: WatchConnection, error: unknown): void {
    if (this.#hasEnded || this.#connection !== connection) return;
    if (!isAshlarError(error)) throw error;
    const isUncertain = this.#isUncertain;
    this.#environment.trace.note(this.#name, `watch fails: ${error.code} ${error.message}`);
    if (isUncertain) {
      this.#onUncertainError(error);
      return;
    }
    if (error.code !== "INDEX_EXPIRED") {
      if (error.retry === "never" && error.code !== "DEADLINE_EXCEEDED") throw error;
      return;
    }
    // The watch was interrupted for longer than the retention, or the clock of a master jumped.
    const oldestIndex = Number(error.details["oldestIndex"]);
    if (!(oldestIndex > this.#next.index)) {
      throw new Violation(`INDEX_EXPIRED for a position that is not expired: ${error.message}`);
    }
    this.#expiredRanges.push({ from: this.#next, oldestIndex });
    this.#next = { index: oldestIndex, sequence: 0 };
  }
}
