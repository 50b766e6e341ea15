import { assert } from "../../shared/base/assert.ts";
import type { LogIndex } from "../../shared/base/ids.ts";

export interface InflightLimits {
  readonly messagesMax: number;
  /** The message that reaches it is still let through. */
  readonly bytesMax: number;
}

interface Inflight {
  /** Index of the last entry in the message. */
  readonly lastIndex: LogIndex;
  readonly sizeBytes: number;
}

/** Append requests that were sent to one member and are not acknowledged yet, oldest first. */
export class Inflights {
  readonly #limits: InflightLimits;
  #messages: Inflight[] = [];
  #sizeBytes = 0;

  constructor(limits: InflightLimits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#messages.length;
  }

  get isFull(): boolean {
    const { messagesMax, bytesMax } = this.#limits;
    return this.#messages.length >= messagesMax || this.#sizeBytes >= bytesMax;
  }

  add(lastIndex: LogIndex, sizeBytes: number): void {
    assert(!this.isFull, "nothing is sent while the window is full");
    const newest = this.#messages.at(-1);
    assert(newest === undefined || newest.lastIndex < lastIndex, "entries are sent in order");
    this.#messages.push({ lastIndex, sizeBytes });
    this.#sizeBytes += sizeBytes;
  }

  /** The member holds everything up to `index`. */
  freeTo(index: LogIndex): void {
    let freedCount = 0;
    for (const message of this.#messages) {
      if (message.lastIndex > index) break;
      this.#sizeBytes -= message.sizeBytes;
      freedCount += 1;
    }
    if (freedCount > 0) this.#messages = this.#messages.slice(freedCount);
    assert(this.#sizeBytes >= 0, "no byte is freed twice");
  }

  clear(): void {
    this.#messages = [];
    this.#sizeBytes = 0;
  }
}
