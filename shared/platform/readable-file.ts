import fs, { type BigIntStats } from "node:fs";
import type { Readable } from "node:stream";
import { promisify } from "node:util";

const { O_NONBLOCK, O_RDONLY } = fs.constants;
const openDescriptor = promisify(fs.open);
const readDescriptor = promisify(fs.read);

const READ_BYTES = 64 * 1024;

/** A local file that is open for reading. */
export interface ReadableFile extends AsyncDisposable {
  /** Stats at the time of opening. */
  readonly stats: BigIntStats;
  /**
   * Reads at `positionBytes` from a regular file, and the next bytes from every other file. Resolves
   * with the number of bytes; 0 at the end.
   *
   * @throws an error of the system with its errno in `code`; the reason of the signal
   */
  read(target: Uint8Array, positionBytes: number): Promise<number>;
  /** Returns the current stats. */
  stat(): BigIntStats;
}

/** Options of `openReadable`. */
export interface OpenReadableOptions {
  /** Ends a read that waits for a writer. Default: such a read ends only with the process. */
  readonly signal?: AbortSignal;
  /** Whether a FIFO or a terminal is refused, as a place where no read may wait. */
  readonly isWaitRefused?: boolean;
}

/**
 * Opens a local file of any type for reading, without blocking.
 *
 * open(2) of a FIFO blocks until a writer exists, in a thread that neither a signal nor
 * `process.exit` can end. With O_NONBLOCK it returns at once (fifo(7)), and the event loop waits for
 * the bytes. A directory and a socket are refused.
 *
 * @throws an error of the system with its errno in `code`: EISDIR for a directory, ENXIO for a
 *   socket, EINVAL for a file that `isWaitRefused` refuses
 */
export async function openReadable(
  path: string | Buffer,
  options: OpenReadableOptions = {},
): Promise<ReadableFile> {
  options.signal?.throwIfAborted();
  const descriptor = await openDescriptor(path, O_RDONLY | O_NONBLOCK);
  try {
    const stats = fs.fstatSync(descriptor, { bigint: true });
    if (stats.isDirectory()) throw systemError("EISDIR", "is a directory");
    if (stats.isFile() || stats.isBlockDevice()) return new SeekableFile(descriptor, stats);
    const stream = await streamOf(descriptor, stats, options);
    if (stream === null) return new SeekableFile(descriptor, stats);
    return new StreamFile(stream, stats, options.signal);
  } catch (error) {
    fs.closeSync(descriptor);
    throw error;
  }
}

/**
 * Reads a whole file as UTF-8. A FIFO is read to its end.
 *
 * @param options.bytesMax the read stops with EFBIG after this many bytes
 * @throws as `openReadable`
 */
export async function readTextFile(
  path: string | Buffer,
  options: OpenReadableOptions & { readonly bytesMax: number },
): Promise<string> {
  return Buffer.from(await readWholeFile(path, options)).toString("utf8");
}

/** As `readTextFile`, without decoding. */
export async function readWholeFile(
  path: string | Buffer,
  options: OpenReadableOptions & { readonly bytesMax: number },
): Promise<Uint8Array> {
  const { bytesMax } = options;
  await using file = await openReadable(path, options);
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  const parts: Uint8Array[] = [];
  let lengthBytes = 0;
  for (;;) {
    const count = await file.read(buffer, lengthBytes);
    options.signal?.throwIfAborted();
    if (count === 0) return Buffer.concat(parts);
    parts.push(new Uint8Array(buffer.subarray(0, count))); // A FIFO may give single bytes.
    lengthBytes += count;
    if (lengthBytes > bytesMax) {
      throw systemError("EFBIG", `file too large: expected at most ${bytesMax} bytes`);
    }
  }
}

/** Returns the stream of a file whose reads may wait; null for other character devices. */
async function streamOf(
  descriptor: number,
  stats: BigIntStats,
  { isWaitRefused = false }: OpenReadableOptions,
): Promise<Readable | null> {
  // Loaded here and not at the top: each module slows the start of the CLI.
  const { isatty, ReadStream } = await import("node:tty");
  const isTerminal = isatty(descriptor);
  if (stats.isCharacterDevice() && !isTerminal) return null;
  if (isWaitRefused) throw systemError("EINVAL", "not a regular file");
  if (isTerminal) return new ReadStream(descriptor);
  const { Socket } = await import("node:net");
  return new Socket({ fd: descriptor, readable: true, writable: false });
}

function systemError(code: string, message: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${message}`), { code, syscall: "read" });
}

/**
 * A file whose reads do not wait for another process.
 *
 * Only what can wait for the disk goes to a thread: opening and reading. A thread costs more than the
 * other calls, and far more on a busy machine.
 */
class SeekableFile implements ReadableFile {
  readonly stats: BigIntStats;
  readonly #descriptor: number;

  constructor(descriptor: number, stats: BigIntStats) {
    this.#descriptor = descriptor;
    this.stats = stats;
  }

  async read(target: Uint8Array, positionBytes: number): Promise<number> {
    if (this.#isAtEnd(positionBytes)) {
      return fs.readSync(this.#descriptor, target, 0, target.length, positionBytes);
    }
    // A character device has no positions.
    const position = this.stats.isCharacterDevice() ? null : positionBytes;
    const { bytesRead } = await readDescriptor(
      this.#descriptor,
      target,
      0,
      target.length,
      position,
    );
    return bytesRead;
  }

  stat(): BigIntStats {
    return fs.fstatSync(this.#descriptor, { bigint: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    fs.closeSync(this.#descriptor);
    return Promise.resolve();
  }

  /** The read at the end of a regular file finds nothing on the disk. Files of procfs have the size 0. */
  #isAtEnd(positionBytes: number): boolean {
    return this.stats.isFile() && positionBytes > 0 && BigInt(positionBytes) === this.stats.size;
  }
}

/** A FIFO or a terminal. The stream closes the descriptor. */
class StreamFile implements ReadableFile {
  readonly stats: BigIntStats;
  readonly #stream: Readable;
  readonly #pieces: AsyncIterator<Uint8Array>;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = () => this.#stream.destroy(this.#signal?.reason as Error);
  #rest: Uint8Array = new Uint8Array(0);

  constructor(stream: Readable, stats: BigIntStats, signal: AbortSignal | undefined) {
    this.#stream = stream;
    this.stats = stats;
    this.#signal = signal;
    // An error between two reads is reported by the next read.
    stream.on("error", () => {});
    this.#pieces = stream[Symbol.asyncIterator]();
    if (signal?.aborted === true) this.#onAbort();
    signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  async read(target: Uint8Array): Promise<number> {
    this.#signal?.throwIfAborted();
    while (this.#rest.length === 0) {
      const next = await this.#pieces.next();
      if (next.done === true) return 0;
      this.#rest = next.value;
    }
    const piece = this.#rest.subarray(0, target.length);
    target.set(piece);
    this.#rest = this.#rest.subarray(piece.length);
    return piece.length;
  }

  /** The stats of a stream do not change. */
  stat(): BigIntStats {
    return this.stats;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#stream.destroy();
    return Promise.resolve();
  }
}
