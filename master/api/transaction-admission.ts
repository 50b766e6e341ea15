import { assert } from "../../shared/base/assert.ts";
import { listenToAbort } from "../../shared/flow/abort-listeners.ts";
import type { CallContext } from "../../shared/wire/rpc.ts";

/** Most places of ended waits that are kept for a repeated call. */
const KEPT_MAX = 1_024;
/** Most connections whose shares are counted. With more of them, all start at the same place again. */
const CONNECTIONS_MAX = 32_768;

/** A call with large transactions. */
export interface LargeCall {
  /** The same in each repetition of the call, and in no other call. */
  readonly key: string;
  /** Approximate size of its transactions. */
  readonly bytes: number;
}

interface Waiting extends LargeCall {
  readonly connection: string;
  readonly place: number;
  readonly resolve: (release: () => void) => void;
}

/**
 * Bounds the bytes of large transactions in progress, from their verification until they are applied. The
 * others wait, and their work has not begun. Each connection gets the same share of the bytes: the order is
 * that of start-time fair queueing (Goyal, Vin, Cheng, 1996).
 *
 * A call whose deadline passes while it waits keeps its place for its repetition. Otherwise calls that wait
 * longer than an attempt of the client library could wait forever.
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
  /** Places of calls that ended while they waited, by key. The oldest is first. */
  readonly #kept = new Map<string, number>();

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
   * @throws {AshlarError} the reason of `signal` when it aborts
   */
  async admit(call: LargeCall, context: CallContext): Promise<() => void> {
    if (this.#waiting.length === 0 && this.#fits(call)) return this.#begin(call);
    const release = await this.#wait(call, context);
    try {
      await context.turn(); // One release admits several calls.
      return release;
    } catch (error) {
      release();
      throw error;
    }
  }

  #wait(call: LargeCall, { peerAddress, signal }: CallContext): Promise<() => void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const place = this.#placeOf(call, peerAddress);
      const waiting: Waiting = {
        ...{ ...call, connection: peerAddress, place },
        resolve: (release) => {
          unlisten();
          resolve(release);
        },
      };
      const unlisten = listenToAbort(signal, () => {
        this.#leave(waiting);
        reject(signal.reason);
      });
      this.#enqueue(waiting);
    });
  }

  #placeOf({ key, bytes }: LargeCall, connection: string): number {
    const kept = this.#kept.get(key);
    this.#kept.delete(key);
    if (kept !== undefined) return kept;
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
    this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
    this.#kept.set(waiting.key, waiting.place);
    for (const key of this.#kept.keys()) {
      if (this.#kept.size <= KEPT_MAX) break;
      this.#kept.delete(key);
    }
    this.#admitWaiting();
  }

  /** A call larger than the bound fits when no other one is in progress. */
  #fits({ bytes }: LargeCall): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= this.#bytesMax;
  }

  #begin({ bytes }: LargeCall): () => void {
    this.#bytes += bytes;
    return () => {
      this.#bytes -= bytes;
      assert(this.#bytes >= 0, "a call is released once");
      this.#admitWaiting();
    };
  }

  #admitWaiting(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (!this.#fits(first)) return;
      this.#waiting.shift();
      this.#admittedPlace = Math.max(this.#admittedPlace, first.place);
      first.resolve(this.#begin(first));
    }
    // No call waits: every connection starts at the same place again.
    this.#nextPlaces.clear();
  }
}
