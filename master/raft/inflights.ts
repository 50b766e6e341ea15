import { assert } from "../../shared/base/assert.ts";
import type { LogIndex } from "../../shared/base/ids.ts";

/** Limits of the window of one member. */
export interface InflightLimits {
  /** Unacknowledged append requests. */
  readonly messagesMax: number;
  /**
   * Bytes of entries in unacknowledged requests. The request that reaches the limit is still sent.
   */
  readonly bytesMax: number;
}

interface Inflight {
  /** Index of the last entry in the message. */
  readonly lastIndex: LogIndex;
  readonly sizeBytes: number;
}

/** Append requests to one member that are not acknowledged yet, oldest first: thesis §10.2.1. */
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

  /** Records a request whose last entry is at `lastIndex`. */
  add(lastIndex: LogIndex, sizeBytes: number): void {
    assert(!this.isFull, "no request is sent while the window is full");
    const newest = this.#messages.at(-1);
    assert(newest === undefined || newest.lastIndex < lastIndex, "entries are sent in order");
    this.#messages.push({ lastIndex, sizeBytes });
    this.#sizeBytes += sizeBytes;
  }

  /** Removes the requests that are acknowledged up to `index`. */
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

  /** Forgets all requests, because they may have been lost. */
  clear(): void {
    this.#messages = [];
    this.#sizeBytes = 0;
  }
}
