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
  /** Resolves in the turn after that of the last slice. Null: no part has started in this turn. */
  #turning: Promise<void> | null = null;
  /** Monotonic time at which the slice of this turn ends. */
  #sliceEndMs = 0;
  #isInPart = false;
  readonly #held = new Set<() => void>();
  /** Monotonic time at which the part that runs has begun. */
  #partStartMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Begins a part in this call if no other one waits and the slice is not over. Returns whether. */
  tryBegin(): boolean {
    if (this.#isInPart || !this.#waiting.isEmpty) return false;
    const nowMs = this.#clock.monotonicMs();
    if (this.#turning === null) this.#beginSlice(nowMs);
    else if (nowMs >= this.#sliceEndMs) return false;
    this.#beginPart(nowMs);
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
   * Calls `task` now, or while parts follow each other: after the last one of the slice, or after a long one.
   * One write then contains the answers of many short parts, so that their callers continue together and their
   * next calls share messages and log writes. A long answer leaves before the next part starts: its caller
   * processes it at the same time.
   */
  hold(task: () => void): void {
    if (this.#isInPart) this.#held.add(task);
    else task();
  }

  #beginSlice(nowMs: number): void {
    this.#sliceEndMs = nowMs + SLICE_MS;
    this.#turning = this.#clock.yieldTurn().then(() => this.#nextTurn());
  }

  #nextTurn(): void {
    this.#turning = null;
    if (this.#waiting.isEmpty) return;
    this.#beginSlice(this.#clock.monotonicMs());
    if (!this.#isInPart) this.#beginNext();
  }

  #beginPart(nowMs: number): void {
    this.#partStartMs = nowMs;
    this.#isInPart = true;
    this.#clock.afterReactions(this.#onPartEnd);
  }

  readonly #onPartEnd = (): void => {
    this.#isInPart = false;
    this.#beginNext();
  };

  #beginNext(): void {
    const nowMs = this.#clock.monotonicMs();
    const isLast = this.#waiting.isEmpty || nowMs >= this.#sliceEndMs;
    if (isLast || nowMs - this.#partStartMs >= LONG_PART_MS) this.#release();
    if (isLast) return;
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
