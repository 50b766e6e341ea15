import { Readable, Writable } from "node:stream";
import { ReadableStream, WritableStream } from "node:stream/web";
import { assert } from "../shared/base/assert.ts";
import { AshlarError } from "../shared/base/errors.ts";
import type { PutResult, WriteStream } from "./results.ts";

/** The file system's iterables and promises as streams of Node and of the web. */

const BUFFERED_BYTES = 1024 * 1024;

/** Writes a whole file from `source`; gives up when `signal` aborts. */
type WriteFile = (source: AsyncIterable<Uint8Array>, signal: AbortSignal) => Promise<PutResult>;

export function toNodeReadable(bytes: AsyncIterable<Uint8Array>): Readable {
  // In pieces as they come: `objectMode: false` makes it a stream of bytes, with their count.
  return Readable.from(bytes, { objectMode: false, highWaterMark: BUFFERED_BYTES });
}

export function toWebReadable(bytes: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = bytes[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const next = await iterator.next();
        if (next.done === true) controller.close();
        else controller.enqueue(next.value);
      },
      cancel: async () => {
        await iterator.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}

/** Bytes that are pushed at one end and pulled at the other, one piece at a time. */
class BytePipe implements AsyncIterable<Uint8Array> {
  #piece: {
    readonly bytes: Uint8Array;
    readonly taken: () => void;
    readonly refused: (error: unknown) => void;
  } | null = null;
  /** Why nothing is read any more. */
  #failure: { readonly error: unknown } | null = null;
  #isEnded = false;
  #wake: () => void = () => {};

  /**
   * Resolves when the reader asks for the next piece: only then may `bytes` be reused.
   *
   * @throws what `fail` was told
   */
  push(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== null) return Promise.reject(this.#failure.error);
    assert(this.#piece === null && !this.#isEnded, "pieces are pushed one at a time");
    return new Promise((resolve, reject) => {
      this.#piece = { bytes, taken: resolve, refused: reject };
      this.#wake();
    });
  }

  /** The reader is gone. */
  fail(error: unknown): void {
    this.#failure = { error };
    this.#piece?.refused(error);
  }

  end(): void {
    this.#isEnded = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    for (;;) {
      const piece = this.#piece;
      if (piece !== null) {
        yield piece.bytes;
        this.#piece = null;
        piece.taken();
      } else if (this.#isEnded) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

/** A put that is fed piece by piece. */
class PushedWrite {
  readonly done: Promise<PutResult>;
  readonly #pipe = new BytePipe();
  readonly #controller = new AbortController();

  constructor(put: WriteFile) {
    this.done = put(this.#pipe, this.#controller.signal);
    this.done.catch((error: unknown) => this.#pipe.fail(error));
  }

  /** Resolves when the bytes are taken. @throws what the put failed with */
  async write(bytes: Uint8Array): Promise<void> {
    if (bytes.length > 0) await this.#pipe.push(bytes);
  }

  finish(): Promise<PutResult> {
    this.#pipe.end();
    return this.done;
  }

  /** Resolves when nothing of it is under way any more. */
  async abort(cause: unknown): Promise<void> {
    this.#controller.abort(
      new AshlarError("CANCELLED", "Cannot write the file: the stream was destroyed", { cause }),
    );
    await this.done.catch(() => {});
  }
}

/** Publishes the file before "finish"; destroyed before that, it leaves nothing. */
export function toNodeWritable(put: WriteFile): WriteStream {
  const pushed = new PushedWrite(put);
  let result: PutResult | null = null;
  const stream = new Writable({
    highWaterMark: BUFFERED_BYTES,
    write: (bytes: Uint8Array, _encoding, callback) => {
      pushed.write(bytes).then(() => callback(), callback);
    },
    final: (callback) => {
      pushed.finish().then((committed) => {
        result = committed;
        callback();
      }, callback);
    },
    destroy: (error, callback) => {
      if (result !== null) {
        callback(error);
        return;
      }
      pushed.abort(error).then(() => callback(error), callback);
    },
  });
  // Told at once, however long the next piece takes to come.
  pushed.done.catch((error: Error) => stream.destroy(error));
  Object.defineProperty(stream, "result", { get: () => result, enumerable: true });
  return stream as WriteStream;
}

/** Publishes the file when it is closed; aborted before that, it leaves nothing. */
export function toWebWritable(put: WriteFile): WritableStream<Uint8Array> {
  const pushed = new PushedWrite(put);
  return new WritableStream<Uint8Array>({
    start: (controller) => {
      // Told at once, however long the next piece takes to come.
      pushed.done.catch((error: unknown) => controller.error(error));
    },
    write: (bytes) => pushed.write(bytes),
    close: async () => {
      await pushed.finish();
    },
    abort: (reason) => pushed.abort(reason),
  });
}
