import { assert } from "../../shared/base/assert.ts";
import { grantOrAbort } from "../../shared/flow/grant-or-abort.ts";
import type { CallContext } from "../../shared/wire/rpc.ts";

/** Most connections whose shares are counted. With more of them, all start at the same place again. */
const CONNECTIONS_MAX = 32_768;

/** A call that waits. */
interface Waiting {
  readonly bytes: number;
  readonly connection: string;
  readonly place: number;
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
  /** Ascending by their places. */
  readonly #waiting: Waiting[] = [];
  /** Place of the last admitted call. A place is a number of bytes of one connection. */
  #admittedPlace = 0;
  /** The next place of a connection, if it is after `#admittedPlace`. */
  readonly #nextPlaces = new Map<string, number>();

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
      const place = this.#takePlace(peerAddress, bytes);
      const waiting = { bytes, connection: peerAddress, place, onAdmitted };
      this.#enqueue(waiting);
      return () => this.#leave(waiting);
    });
  }

  #takePlace(connection: string, bytes: number): number {
    if (this.#nextPlaces.size > CONNECTIONS_MAX) this.#nextPlaces.clear();
    const place = Math.max(this.#admittedPlace, this.#nextPlaces.get(connection) ?? 0);
    this.#nextPlaces.set(connection, place + bytes);
    return place;
  }

  #enqueue(waiting: Waiting): void {
    let position = this.#waiting.length;
    while (position > 0 && this.#placeAt(position - 1) > waiting.place) position -= 1;
    this.#waiting.splice(position, 0, waiting);
  }

  #placeAt(position: number): number {
    return this.#waiting[position]?.place ?? 0;
  }

  #leave(waiting: Waiting): void {
    const { connection, place, bytes } = waiting;
    this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
    // The next call of the connection takes the place, unless calls after this one have theirs already.
    if (this.#nextPlaces.get(connection) === place + bytes) this.#nextPlaces.set(connection, place);
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
      this.#admittedPlace = Math.max(this.#admittedPlace, first.place);
      first.onAdmitted(this.#begin(first.bytes));
    }
    // No call waits: every connection starts at the same place again.
    this.#nextPlaces.clear();
  }
}
