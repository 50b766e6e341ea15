import type { Clock } from "../ports/clock.ts";
import { type Lane, type PartPlace, TurnQueue } from "./turn-queue.ts";

/** Time of one turn of the event loop in which the frames of all connections may be read. */
const SLICE_MS = 5;
/** Time that a connection may use of a slice while others wait. */
const PART_MS = 1;

/**
 * Divides the reading of frames into slices, one for each turn of the event loop. One read has more than a
 * thousand small requests, and one turn has reads of thousands of connections. Without slices, timers,
 * the consensus and messages of peers would wait until all of them are decoded, and started or refused.
 */
export class ReadSlices {
  readonly #clock: Clock;
  readonly #waiting = new TurnQueue();
  /** Time of the reading since the last end of a slice, in milliseconds, possibly in several turns. */
  #sliceMs = 0;
  /** Whether the slice has ended and the next one begins in the next turn. */
  #isTurning = false;
  /** Whether the connections that wait have their turns now. */
  #isResuming = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Calls `readFrame` until it returns false: no complete frame is left. Returns false if the slice ended
   * earlier. The caller then pauses its reading, and calls `wait` for its next turn.
   */
  run(readFrame: () => boolean): boolean {
    if (this.#isTurning) return false;
    const startMs = this.#clock.monotonicMs();
    const partMsMax = this.#waiting.isEmpty ? SLICE_MS - this.#sliceMs : PART_MS;
    let partMs = 0;
    let isLeft = true;
    while (isLeft && partMs < partMsMax) {
      isLeft = readFrame();
      partMs = this.#clock.monotonicMs() - startMs;
    }
    this.#sliceMs += partMs;
    if (this.#sliceMs >= SLICE_MS) this.#endSlice();
    return !isLeft;
  }

  /** Calls `resume` in the turn of a connection, which then calls `run` again. */
  wait(lane: Lane, resume: () => void): PartPlace {
    const place = this.#waiting.push(lane, resume);
    if (!this.#isResuming) this.#endSlice();
    return place;
  }

  /** Removes a connection that waits. */
  remove(place: PartPlace): void {
    this.#waiting.remove(place);
  }

  #endSlice(): void {
    if (this.#isTurning) return;
    this.#isTurning = true;
    this.#clock.yieldTurn().then(this.#onTurn, () => {}); // `yieldTurn` does not reject.
  }

  readonly #onTurn = (): void => {
    this.#isTurning = false;
    this.#sliceMs = 0;
    this.#isResuming = true;
    while (!this.#isTurning && !this.#waiting.isEmpty) this.#waiting.shift()?.();
    this.#isResuming = false;
    if (!this.#waiting.isEmpty) this.#endSlice();
  };
}

/** The turns of one connection. */
export interface ReadTurns {
  readonly slices: ReadSlices;
  readonly lane: Lane;
}
