import { AshlarError } from "../../shared/base/errors.ts";

/** Memory of a watch without its path: the stream, its wait and its place in the index. */
const WATCH_BYTES = 2 * 1024;
/** Bound of the watches of one connection. */
const CONNECTION_BYTES_MAX = 16 * 1024 * 1024;
/** Bound of all watches of a master. */
const TOTAL_BYTES_MAX = 128 * 1024 * 1024;

/** Bounds the memory of the watches of a master. */
export class WatchMemory {
  readonly #byConnection = new Map<string, number>();
  #totalBytes = 0;

  /**
   * Adds a watch and returns the function that removes it. Call that function once.
   *
   * @param connection address of the peer
   * @throws {AshlarError} OVERLOADED
   */
  acquire(connection: string, pathBytes: number): () => void {
    const bytes = WATCH_BYTES + pathBytes;
    const held = this.#byConnection.get(connection) ?? 0;
    if (held + bytes > CONNECTION_BYTES_MAX) throw overloaded("of this connection", held);
    if (this.#totalBytes + bytes > TOTAL_BYTES_MAX) throw overloaded("", this.#totalBytes);
    this.#add(connection, bytes);
    return () => this.#add(connection, -bytes);
  }

  #add(connection: string, bytes: number): void {
    this.#totalBytes += bytes;
    const held = (this.#byConnection.get(connection) ?? 0) + bytes;
    if (held === 0) this.#byConnection.delete(connection);
    else this.#byConnection.set(connection, held);
  }
}

function overloaded(whose: string, bytes: number): AshlarError {
  const watches = whose === "" ? "the watches" : `the watches ${whose}`;
  return new AshlarError("OVERLOADED", `Cannot watch: ${watches} take ${bytes} bytes`);
}
