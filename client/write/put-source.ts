import { assert } from "../../shared/base/assert.ts";
import { untilAborted } from "../deadline.ts";
import type { FillSource, PutSource } from "../options.ts";

/** Where the frames of a file come from: bytes are asked for, into an array of ours. */
export interface ByteSource {
  /** Puts at least 1 byte at the start of `target`, or returns 0 at the end. One call at a time. */
  fill(target: Uint8Array): Promise<number>;
  /** No more bytes are wanted. Called once, also after the end or a failure. */
  close(): void;
}

/**
 * `source` as bytes that are asked for. Nothing is read from it yet. A source that gives pieces is
 * left when `signal` aborts; one that fills an array of ours is waited for.
 */
export function openSource(source: PutSource, signal: AbortSignal): ByteSource {
  if (typeof source === "string") return fromBytes(new TextEncoder().encode(source));
  if (source instanceof Uint8Array) return fromBytes(source);
  if (isFillSource(source)) return fromFill(source);
  return new PieceSource(piecesOf(source), signal);
}

/** The size of the source where it is plain. */
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
      assert(Number.isInteger(count) && count >= 0, "a source fills a whole number of bytes");
      assert(count <= target.length, "a source fills no more than the array that it was given");
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

/** Pieces of any size, as an iterable gives them. A piece is not looked at after the next is asked for. */
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
    const taken = this.#rest.subarray(0, target.length);
    target.set(taken);
    this.#rest = this.#rest.subarray(taken.length);
    return taken.length;
  }

  close(): void {
    if (this.#isAtEnd) return;
    this.#isAtEnd = true;
    // Not waited for: a generator that hangs in `next` would never answer.
    const returned = this.#pieces.return?.();
    if (returned instanceof Promise) returned.catch(() => {});
  }

  async #next(): Promise<IteratorResult<Uint8Array, unknown>> {
    try {
      return await untilAborted(Promise.resolve(this.#pieces.next()), this.#signal);
    } catch (error) {
      // What throws has ended by itself: it is not told to return.
      this.#isAtEnd = !this.#signal.aborted;
      throw error;
    }
  }
}

/** A Readable with an encoding gives text: it is taken as UTF-8, as fs.writeFile takes it. */
function asBytes(piece: unknown): Uint8Array {
  if (piece instanceof Uint8Array) return piece;
  if (typeof piece === "string") return new TextEncoder().encode(piece);
  throw new TypeError("A source of bytes gives Uint8Array");
}
