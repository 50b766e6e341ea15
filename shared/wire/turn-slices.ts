import type { Clock } from "../ports/clock.ts";
import { type Lane, type PartPlace, TurnQueue } from "./turn-queue.ts";

/** Time of one turn of the event loop that the parts of all calls may take together. */
const SLICE_MS = 5;
/** Time from which on a part is long: its answer does not wait for those of the next parts. */
const LONG_PART_MS = 0.5;

/**
 * Divides the work of the calls of all connections of a server into parts, which it starts in the order of
 * `TurnQueue`, in slices of `SLICE_MS`: one slice for each turn of the event loop. One event can
 * start thousands of parts: the loop reads that many connections in one turn, and the confirmation of a read
 * resumes all calls that wait for it. Without slices, timers, the consensus and messages of peers would
 * wait until the last one is done.
 *
 * A part is the work from its start until no promise reaction is left: so it contains the functions
 * that await each other and the encoding of the answer. The next part starts after that, in the same turn
 * if the slice is not over. A single part can be longer than the slice: the work of a call that can be long
 * is divided by `CallContext.turn`.
 */
export class TurnSlices {
  readonly #clock: Clock;
  readonly #waiting = new TurnQueue();
  /**
   * Time of the parts since the last end of a slice, in milliseconds. They may have been in several turns: a
   * server with short parts need not observe each turn.
   */
  #sliceMs = 0;
  /** Resolves in the turn of the event loop after the end of the slice. Null while the slice runs. */
  #turning: Promise<void> | null = null;
  #isInPart = false;
  /** Monotonic time at which the part that runs has begun. */
  #partStartMs = 0;
  readonly #held = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Begins a part in this call if no other one waits and the slice is not over. Returns whether. */
  tryBegin(): boolean {
    if (this.#isInPart || this.#turning !== null || !this.#waiting.isEmpty) return false;
    this.#beginPart(this.#clock.monotonicMs());
    return true;
  }

  /** Queues a part for which `tryBegin` has returned false. `begin` is called in its turn. */
  enqueue(lane: Lane, begin: () => void): PartPlace {
    return this.#waiting.push(lane, begin);
  }

  /** Removes a part that has not begun. */
  remove(place: PartPlace): void {
    this.#waiting.remove(place);
  }

  /**
   * Outside of a part: calls `task` now. In a part: calls it when the slice ends, when no part waits, or when a part
   * took LONG_PART_MS.
   *
   * One write then contains the answers of many short parts, so that their callers continue together and their
   * next calls share messages and log writes. A long answer leaves before the next part starts: its caller
   * processes it at the same time.
   */
  hold(task: () => void): void {
    if (this.#isInPart) this.#held.add(task);
    else task();
  }

  #beginPart(nowMs: number): void {
    this.#partStartMs = nowMs;
    this.#isInPart = true;
    this.#clock.afterReactions(this.#onPartEnd);
  }

  readonly #onPartEnd = (): void => {
    const nowMs = this.#clock.monotonicMs();
    const partMs = nowMs - this.#partStartMs;
    this.#isInPart = false;
    this.#sliceMs += partMs;
    if (this.#sliceMs >= SLICE_MS) this.#turning = this.#clock.yieldTurn().then(this.#onTurn);
    const isLast = this.#turning !== null || this.#waiting.isEmpty;
    if (isLast || partMs >= LONG_PART_MS) this.#release();
    if (!isLast) this.#beginNext(nowMs);
  };

  readonly #onTurn = (): void => {
    this.#turning = null;
    this.#sliceMs = 0;
    if (!this.#waiting.isEmpty) this.#beginNext(this.#clock.monotonicMs());
  };

  #beginNext(nowMs: number): void {
    this.#beginPart(nowMs);
    this.#waiting.shift()?.();
  }

  #release(): void {
    if (this.#held.size === 0) return;
    const held = [...this.#held];
    this.#held.clear();
    for (const task of held) task();
  }
}
