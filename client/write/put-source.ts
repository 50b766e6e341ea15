import { assert } from "../../shared/base/assert.ts";
import { untilAborted } from "../deadline.ts";
import type { FillSource, PutSource } from "../options.ts";

/** A source of bytes that fills buffers of the library. */
export interface ByteSource {
  /**
   * Writes at least 1 byte to the start of `target` and resolves with their number, or resolves
   * with 0 at the end. Calls never overlap.
   */
  fill(target: Uint8Array): Promise<number>;
  /** Releases the source. Called exactly once, also after the end or an error. */
  close(): void;
}

/**
 * Adapts `source` to a `ByteSource`. Does not read from it yet. When `signal` aborts, a pending
 * read of an iterable source is abandoned; a pending `fill` is awaited, because it writes to a
 * buffer of the library.
 */
export function openSource(source: PutSource, signal: AbortSignal): ByteSource {
  if (typeof source === "string") return fromBytes(new TextEncoder().encode(source));
  if (source instanceof Uint8Array) return fromBytes(source);
  if (isFillSource(source)) return fromFill(source);
  return new PieceSource(piecesOf(source), signal);
}

/** Returns the size of the source in bytes if it is known without reading, else undefined. */
export function knownSize(source: PutSource): number | undefined {
  if (typeof source === "string") return undefined;
  if (source instanceof Uint8Array) return source.length;
  return source instanceof Blob ? source.size : undefined;
}

type Pieces = AsyncIterator<Uint8Array> | Iterator<Uint8Array>;

function piecesOf(source: Exclude<PutSource, string | Uint8Array | FillSource>): Pieces {
  if (source instanceof Blob) return source.stream()[Symbol.asyncIterator]();
  if (Symbol.asyncIterator in source) return source[Symbol.asyncIterator]();
  return source[Symbol.iterator]();
}

function isFillSource(source: PutSource): source is FillSource {
  return typeof source === "object" && "fill" in source && !(Symbol.iterator in source);
}

function fromFill(source: FillSource): ByteSource {
  return {
    fill: async (target) => {
      const count = await source.fill(target);
      assert(Number.isInteger(count) && count >= 0, "a source returns a number of bytes");
      assert(count <= target.length, "a source writes at most the length of the target");
      return count;
    },
    close: () => {},
  };
}

function fromBytes(bytes: Uint8Array): ByteSource {
  let offset = 0;
  return {
    fill: (target) => {
      const piece = bytes.subarray(offset, offset + target.length);
      target.set(piece);
      offset += piece.length;
      return Promise.resolve(piece.length);
    },
    close: () => {},
  };
}

/**
 * Pieces of any size from an iterable. A piece is not accessed after the next one was requested, so
 * the iterable may reuse its buffer.
 */
class PieceSource implements ByteSource {
  readonly #pieces: Pieces;
  readonly #signal: AbortSignal;
  #rest: Uint8Array = new Uint8Array(0);
  #isAtEnd = false;

  constructor(pieces: Pieces, signal: AbortSignal) {
    this.#pieces = pieces;
    this.#signal = signal;
  }

  async fill(target: Uint8Array): Promise<number> {
    while (this.#rest.length === 0) {
      if (this.#isAtEnd) return 0;
      const next = await this.#next();
      this.#isAtEnd = next.done === true;
      this.#rest = this.#isAtEnd ? this.#rest : asBytes(next.value);
    }
    const piece = this.#rest.subarray(0, target.length);
    target.set(piece);
    this.#rest = this.#rest.subarray(piece.length);
    return piece.length;
  }

  close(): void {
    if (this.#isAtEnd) return;
    this.#isAtEnd = true;
    // Not awaited: a generator that hangs in `next` would never settle `return`.
    const returned = this.#pieces.return?.();
    if (returned instanceof Promise) returned.catch(() => {});
  }

  async #next(): Promise<IteratorResult<Uint8Array, unknown>> {
    try {
      return await untilAborted(Promise.resolve(this.#pieces.next()), this.#signal);
    } catch (error) {
      // An iterator that throws has ended: `return` must not be called.
      this.#isAtEnd = !this.#signal.aborted;
      throw error;
    }
  }
}

/** A Readable with an encoding yields text. It is encoded as UTF-8, as fs.writeFile does. */
function asBytes(piece: unknown): Uint8Array {
  if (piece instanceof Uint8Array) return piece;
  if (typeof piece === "string") return new TextEncoder().encode(piece);
  throw new TypeError("Cannot read the source: expected pieces of type Uint8Array");
}
