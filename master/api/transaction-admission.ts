import { assert } from "../../shared/base/assert.ts";
import { grantOrAbort } from "../../shared/flow/grant-or-abort.ts";
import type { CallContext } from "../../shared/wire/rpc.ts";

/** Most connections whose shares are counted. With more of them, all start at the virtual time again. */
const CONNECTIONS_MAX = 32_768;

/** A call that waits. */
interface Waiting {
  readonly bytes: number;
  readonly connection: string;
  readonly startTag: number;
  readonly onAdmitted: (release: () => void) => void;
}

/**
 * Bounds the bytes of large transactions in progress, from their verification until they are applied. The
 * others wait, and their work has not begun. Each connection gets the same share of the bytes: the order is
 * that of start-time fair queueing (Goyal, Vin, Cheng, 1996).
 *
 * `FairQueue` gives each connection the same number of calls. That is right for the writes of a chunkserver, which
 * take about the same memory. Large transactions have 64 KiB to 32 MiB: with the same number of calls, a batch of
 * small files would wait for a call of each other connection.
 */
export class TransactionAdmission {
  readonly #bytesMax: number;
  #bytes = 0;
  /** Ascending by their start tags. */
  readonly #waiting: Waiting[] = [];
  /**
   * Virtual time of the queue in bytes of one connection (Goyal 1996, §2): the largest start tag of the admitted calls.
   */
  #virtualTime = 0;
  /** Finish tag of the last call of a connection, if it is after `#virtualTime`. */
  readonly #finishTags = new Map<string, number>();

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Number of calls that wait. */
  get waitingCount(): number {
    return this.#waiting.length;
  }

  /**
   * Resolves in a turn of the call when its work may begin. Call the returned function once, when the work has
   * ended.
   *
   * @param bytes approximate size of the transactions of the call
   * @throws {AshlarError} the reason of `context.signal` when it aborts
   */
  async admit(bytes: number, context: CallContext): Promise<() => void> {
    if (this.#waiting.length === 0 && this.#fits(bytes)) return this.#begin(bytes);
    const release = await this.#wait(bytes, context);
    try {
      await context.turn(); // One release admits several calls.
      return release;
    } catch (error) {
      release();
      throw error;
    }
  }

  #wait(bytes: number, { peerAddress, signal }: CallContext): Promise<() => void> {
    return grantOrAbort(signal, (onAdmitted) => {
      const startTag = this.#takeStartTag(peerAddress, bytes);
      const waiting = { bytes, connection: peerAddress, startTag, onAdmitted };
      this.#enqueue(waiting);
      return () => this.#leave(waiting);
    });
  }

  #takeStartTag(connection: string, bytes: number): number {
    if (this.#finishTags.size > CONNECTIONS_MAX) this.#finishTags.clear();
    const startTag = Math.max(this.#virtualTime, this.#finishTags.get(connection) ?? 0);
    this.#finishTags.set(connection, startTag + bytes);
    return startTag;
  }

  #enqueue(waiting: Waiting): void {
    let position = this.#waiting.length;
    while (position > 0 && this.#startTagAt(position - 1) > waiting.startTag) position -= 1;
    this.#waiting.splice(position, 0, waiting);
  }

  #startTagAt(position: number): number {
    return this.#waiting[position]?.startTag ?? 0;
  }

  #leave(waiting: Waiting): void {
    const { connection, startTag, bytes } = waiting;
    this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
    // The next call of the connection takes the start tag, unless calls after this one have theirs already.
    if (this.#finishTags.get(connection) === startTag + bytes) {
      this.#finishTags.set(connection, startTag);
    }
    this.#admitWaiting();
  }

  /** A call larger than the bound fits when no other one is in progress. */
  #fits(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= this.#bytesMax;
  }

  #begin(bytes: number): () => void {
    this.#bytes += bytes;
    return () => {
      this.#bytes -= bytes;
      assert(this.#bytes >= 0, "a call is released once");
      this.#admitWaiting();
    };
  }

  #admitWaiting(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (!this.#fits(first.bytes)) return;
      this.#waiting.shift();
      this.#virtualTime = Math.max(this.#virtualTime, first.startTag);
      first.onAdmitted(this.#begin(first.bytes));
    }
    // No call waits: every connection starts at the virtual time again.
    this.#finishTags.clear();
  }
}
