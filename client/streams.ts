import { Readable, Writable } from "node:stream";
import type * as web from "node:stream/web";
import { assert } from "../shared/base/assert.ts";
import { AshlarError } from "../shared/base/errors.ts";
import type { PutResult, WriteStream } from "./results.ts";

/** Adapters from the iterables and promises of the library to Node streams and web streams. */

/** Bytes that a Node stream buffers before it applies back-pressure. */
const BUFFERED_BYTES = 1024 * 1024;

/** Writes a whole file from `source`. Fails when `signal` aborts. */
type WriteFile = (source: AsyncIterable<Uint8Array>, signal: AbortSignal) => Promise<PutResult>;

/** Returns a Node stream of `bytes`. Destroying the stream ends the iteration. */
export function toNodeReadable(bytes: AsyncIterable<Uint8Array>): Readable {
  // `objectMode: false` makes the stream count bytes instead of pieces. Pieces keep their sizes.
  return Readable.from(bytes, { objectMode: false, highWaterMark: BUFFERED_BYTES });
}

/** Returns a web stream of `bytes`. Cancelling the stream ends the iteration. */
export function toWebReadable(bytes: AsyncIterable<Uint8Array>): web.ReadableStream<Uint8Array> {
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

/** Connects a writer that pushes pieces to a reader that pulls them. Holds at most one piece. */
class BytePipe implements AsyncIterable<Uint8Array> {
  #piece: {
    readonly bytes: Uint8Array;
    readonly resolve: () => void;
    readonly reject: (error: unknown) => void;
  } | null = null;
  /** Why the reader failed. Null while it reads. */
  #failure: { readonly error: unknown } | null = null;
  #isEnded = false;
  #wake: () => void = () => {};

  /**
   * Resolves when the reader requests the next piece. The caller must not reuse `bytes` before.
   *
   * @throws the error passed to `fail`.
   */
  push(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== null) return Promise.reject(this.#failure.error);
    assert(this.#piece === null && !this.#isEnded, "pushes do not overlap and precede the end");
    return new Promise((resolve, reject) => {
      this.#piece = { bytes, resolve, reject };
      this.#wake();
    });
  }

  /** Rejects the pending push and all later ones with `error`: the reader has failed. */
  fail(error: unknown): void {
    this.#failure = { error };
    this.#piece?.reject(error);
  }

  /** Ends the iteration after the last piece. */
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
        piece.resolve();
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

/** A file write whose source is pushed piece by piece. */
class PushedWrite {
  /** Settles when the write has ended. */
  readonly done: Promise<PutResult>;
  readonly #pipe = new BytePipe();
  readonly #controller = new AbortController();

  constructor(put: WriteFile) {
    this.done = put(this.#pipe, this.#controller.signal);
    this.done.catch((error: unknown) => this.#pipe.fail(error));
  }

  /** Resolves when the write has consumed `bytes`. @throws the error of the write. */
  async write(bytes: Uint8Array): Promise<void> {
    if (bytes.length > 0) await this.#pipe.push(bytes);
  }

  /** Ends the source. Resolves after the commit. */
  finish(): Promise<PutResult> {
    this.#pipe.end();
    return this.done;
  }

  /** Cancels the write. Resolves when it has ended. */
  async abort(cause: unknown): Promise<void> {
    this.#controller.abort(
      new AshlarError("CANCELLED", "Cannot write the file: the stream was destroyed", { cause }),
    );
    await this.done.catch(() => {});
  }
}

/**
 * Returns a Node stream that feeds `put`. The file is committed before "finish". If the stream is
 * destroyed before, nothing is published.
 */
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
  // Reports a failed write immediately, without waiting for the next piece.
  pushed.done.catch((error: Error) => stream.destroy(error));
  Object.defineProperty(stream, "result", { get: () => result, enumerable: true });
  return stream as WriteStream;
}

/** Returns a web stream that feeds `put`: `close` commits the file, `abort` publishes nothing. */
export function toWebWritable(put: WriteFile): web.WritableStream<Uint8Array> {
  const pushed = new PushedWrite(put);
  return new WritableStream<Uint8Array>({
    start: (controller) => {
      // Reports a failed write immediately, without waiting for the next piece.
      pushed.done.catch((error: unknown) => controller.error(error));
    },
    write: (bytes) => pushed.write(bytes),
    close: async () => {
      await pushed.finish();
    },
    abort: (reason) => pushed.abort(reason),
  });
}
