import { AshlarError } from "../base/errors.ts";
import type { Log } from "../ports/log.ts";
import type { Multiplexer } from "./multiplexer.ts";

/** Part of the bound that is left after connections were closed. A next answer does not close another at once. */
const KEPT_SHARE = 3 / 4;

/**
 * Bounds the memory of the answers that the peers of one role have not read, on all their connections. Beyond
 * it the connections with most of them are closed: a peer that reads its answers has few, and stays.
 *
 * Each role has its own bound, so that clients close no connection of a master or a chunkserver.
 */
export class UnreadAnswers {
  readonly #log: Log;
  readonly #bytesMax: number;
  readonly #connections = new Set<Multiplexer>();
  #bytes = 0;

  constructor(log: Log, bytesMax: number) {
    this.#log = log;
    this.#bytesMax = bytesMax;
  }

  /** Memory of the answers, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  add(connection: Multiplexer): void {
    this.#connections.add(connection);
  }

  /** Removes a connection that is closed. It has no answers. */
  remove(connection: Multiplexer): void {
    this.#connections.delete(connection);
  }

  /** Counts a change of the answers of a connection. May close connections, also that one. */
  count(bytes: number): void {
    this.#bytes += bytes;
    if (bytes > 0 && this.#bytes > this.#bytesMax) this.#closeLargest();
  }

  #closeLargest(): void {
    const largestFirst = [...this.#connections].sort((a, b) => b.answerBytes - a.answerBytes);
    for (const connection of largestFirst) {
      if (this.#bytes <= KEPT_SHARE * this.#bytesMax) return;
      this.#close(connection);
    }
  }

  #close(connection: Multiplexer): void {
    const { peerAddress } = connection.link;
    const bytes = connection.answerBytes;
    this.#log.warn("A peer does not read its answers, its connection is closed", {
      peerAddress,
      bytes,
    });
    const reason = `it has not read ${bytes} bytes of answers`;
    connection.fail(
      new AshlarError("CONNECTION_LOST", `Closed the connection to ${peerAddress}: ${reason}`),
    );
  }
}
