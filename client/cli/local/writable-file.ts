import fs, { type Stats } from "node:fs";
import type { Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const { O_NONBLOCK, O_WRONLY } = fs.constants;
const openDescriptor = promisify(fs.open);
const closeDescriptor = promisify(fs.close);
const writeDescriptor = promisify(fs.write);
const statDescriptor = promisify(fs.fstat);

/** Interval at which the open of a FIFO is repeated until it has a reader. */
const READER_POLL_MS = 50;

/** A FIFO or a device that is open for writing. */
export interface WritableFile extends AsyncDisposable {
  /** Writes all of `bytes`. The caller may reuse them after the promise resolves. */
  write(bytes: Uint8Array): Promise<void>;
}

/**
 * Opens a FIFO, a terminal or a device for writing, without blocking. A FIFO without a reader is
 * waited for until `signal` aborts, as open(2) without O_NONBLOCK does.
 *
 * @throws an error of the system with its errno in `code`; the reason of the signal
 */
export async function openWritable(
  path: Buffer,
  stats: Stats,
  signal: AbortSignal,
): Promise<WritableFile> {
  const descriptor = await openWithReader(path, stats.isFIFO(), signal);
  try {
    // The name can have changed since `stats` were read.
    if ((await statDescriptor(descriptor)).isFile()) throw systemError("EEXIST");
    const { isatty, WriteStream } = await import("node:tty");
    if (isatty(descriptor)) return new StreamFile(new WriteStream(descriptor), signal);
    if (!stats.isFIFO()) return new DeviceFile(descriptor);
    const { Socket } = await import("node:net");
    return new StreamFile(new Socket({ fd: descriptor, readable: false, writable: true }), signal);
  } catch (error) {
    await closeDescriptor(descriptor);
    throw error;
  }
}

async function openWithReader(path: Buffer, isFifo: boolean, signal: AbortSignal): Promise<number> {
  for (;;) {
    signal.throwIfAborted();
    try {
      return await openDescriptor(path, O_WRONLY | O_NONBLOCK);
    } catch (error) {
      // ENXIO: no process has opened the FIFO for reading, see fifo(7).
      if (!isFifo || (error as NodeJS.ErrnoException).code !== "ENXIO") throw error;
    }
    await sleep(READER_POLL_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

function systemError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code, syscall: "open" });
}

/** A device whose writes do not wait for a reader. */
class DeviceFile implements WritableFile {
  readonly #descriptor: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let offset = 0; offset < bytes.length; ) {
      const length = bytes.length - offset;
      offset += (await writeDescriptor(this.#descriptor, bytes, offset, length, null)).bytesWritten;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await closeDescriptor(this.#descriptor);
  }
}

/** A FIFO or a terminal. The stream closes the descriptor. */
class StreamFile implements WritableFile {
  readonly #stream: Writable;
  readonly #signal: AbortSignal;
  readonly #onAbort = () => this.#stream.destroy(this.#signal.reason as Error);

  constructor(stream: Writable, signal: AbortSignal) {
    this.#stream = stream;
    this.#signal = signal;
    // An error between two writes is reported by the next write.
    stream.on("error", () => {});
    if (signal.aborted) this.#onAbort();
    signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#stream.write(bytes, (error) => {
        if (error === null || error === undefined) resolve();
        else reject(this.#signal.aborted ? (this.#signal.reason as Error) : error);
      });
    });
  }

  /** Resolves when all bytes are written and the descriptor is closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener("abort", this.#onAbort);
    await new Promise<void>((resolve) => {
      this.#stream.once("close", resolve);
      if (this.#stream.destroyed) resolve();
      else this.#stream.end(() => this.#stream.destroy());
    });
  }
}
