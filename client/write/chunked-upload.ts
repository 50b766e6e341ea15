import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { hashBlocks } from "../../shared/protocol/chunk-id.ts";
import { CONTENT_CHUNKS_MAX } from "../../shared/protocol/namespace-api.ts";
import type { ClientDeps } from "../client-deps.ts";
import { asAshlarError, type Deadline } from "../deadline.ts";
import { ChunkWriter, type SealedChunk } from "./chunk-writer.ts";
import type { Intents } from "./intents.ts";
import { Notifier } from "./notifier.ts";
import type { UploadFrame, UploadFrameReader } from "./upload-frames.ts";

/** Maximum number of unsealed chunks of one file. One is sent while others are synced to disk. */
const CHUNKS_IN_FLIGHT_MAX = 4;

/** Dependencies and parameters of a `ChunkedUpload`. */
export interface ChunkedUploadOptions {
  readonly deps: ClientDeps;
  readonly intents: Intents;
  readonly deadline: Deadline;
  readonly chunkSizeBytes: number;
  /** Size of the file as the caller expects it. */
  readonly sizeHint: number | undefined;
  /** Called with the number of bytes that whole chains have acknowledged so far. */
  readonly onProgress: (bytes: number) => void;
  /** Called for every sealed chunk. It is not committed yet. */
  readonly onSealed: (sealed: SealedChunk) => void;
}

/** The chunk that receives the next frames. */
interface OpenChunk {
  lengthBytes: number;
  /** Null while the chunk contains only zeros, which are counted but not stored. */
  writer: ChunkWriter | null;
}

/** Cuts the frames of a file into chunks and writes them, several at a time. */
export class ChunkedUpload {
  readonly #options: ChunkedUploadOptions;
  /** Chunks in file order. Equal chunks of zeros share one promise. */
  readonly #chunks: Array<Promise<SealedChunk>> = [];
  /** Chunks of zeros by length. A file has at most two chunk lengths. */
  readonly #zeroChunks = new Map<number, Promise<SealedChunk>>();
  #unsealedCount = 0;
  /** Notified when a chunk was sealed or has failed. */
  readonly #notifier = new Notifier();
  #openChunk: OpenChunk = { lengthBytes: 0, writer: null };
  #ackedBytes = 0;
  #sizeBytes = 0;

  constructor(options: ChunkedUploadOptions) {
    this.#options = options;
  }

  /** Number of bytes that the frames so far contain. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /**
   * Writes `first` and all following frames. Resolves with the chunks in file order when all of
   * them are durable. On an error, all chunks have ended before the promise rejects.
   *
   * @throws {AshlarError} WRITE_CHAIN_FAILED, TOO_FEW_CHUNKSERVERS, TOO_LARGE, CANCELLED,
   *   DEADLINE_EXCEEDED. An error of the source is rethrown.
   */
  async run(first: UploadFrame, frames: UploadFrameReader): Promise<readonly SealedChunk[]> {
    try {
      for (let frame: UploadFrame | null = first; frame !== null; frame = await frames.next()) {
        await this.#addFrame(frame, frames);
      }
      if (this.#openChunk.lengthBytes > 0) await this.#closeChunk();
      return await Promise.all(this.#chunks);
    } catch (error) {
      const cause = this.#options.deadline.causeOf(error);
      // Pending chunks must end before the caller releases their slabs and connections.
      this.#options.deadline.abort(asAshlarError(error, "write the file"));
      await Promise.allSettled(this.#chunks);
      await this.#openChunk.writer?.sealed.catch(() => {});
      throw cause;
    }
  }

  async #addFrame(frame: UploadFrame, frames: UploadFrameReader): Promise<void> {
    const { deps, chunkSizeBytes } = this.#options;
    const { bytes, slab } = frame;
    const { zeroBlocks } = deps;
    const isZero = zeroBlocks.isZero(bytes);
    const hashes = isZero ? zeroBlocks.hashes(bytes.length) : hashBlocks(deps.env.hasher, bytes);
    const offsetBytes = this.#openChunk.lengthBytes;
    assert(offsetBytes + bytes.length <= chunkSizeBytes, "a frame is part of one chunk");
    this.#openChunk.lengthBytes += bytes.length;
    this.#sizeBytes += bytes.length;
    if (this.#openChunk.writer === null && isZero) {
      slab.release();
    } else {
      const isWholeFile = frames.isAtEnd && offsetBytes === 0;
      await this.#pushAfterZeros({ offsetBytes, bytes, hashes, slab }, isWholeFile);
    }
    if (this.#openChunk.lengthBytes === chunkSizeBytes) await this.#closeChunk();
  }

  async #pushAfterZeros(
    frame: Parameters<ChunkWriter["push"]>[0],
    isWholeFile: boolean,
  ): Promise<void> {
    let writer = this.#openChunk.writer;
    if (writer === null) {
      try {
        writer = await this.#openWriter(isWholeFile ? frame.bytes.length : null);
        await pushZeros(writer, this.#options.deps, frame.offsetBytes);
      } catch (error) {
        frame.slab?.release();
        throw error;
      }
    }
    await writer.push(frame);
  }

  async #openWriter(sizeHintBytes: number | null): Promise<ChunkWriter> {
    const { deps, intents, deadline, chunkSizeBytes } = this.#options;
    while (this.#unsealedCount >= CHUNKS_IN_FLIGHT_MAX) await this.#notifier.wait();
    deadline.check();
    const writer = new ChunkWriter({
      env: deps.env,
      chunkservers: deps.chunkservers,
      intents,
      deadline,
      capacityBytes: chunkSizeBytes,
      sizeHintBytes,
      chunksLeft: this.#chunksLeft(sizeHintBytes),
      onAcked: (moreBytes) => this.#noteAcked(moreBytes),
      onRetry: deps.onRetry,
    });
    this.#openChunk.writer = writer;
    this.#unsealedCount += 1;
    this.#watchSealed(writer);
    return writer;
  }

  #chunksLeft(wholeBytes: number | null): number | null {
    const { sizeHint, chunkSizeBytes } = this.#options;
    if (wholeBytes !== null) return 1;
    if (sizeHint === undefined) return null;
    const left = Math.ceil(sizeHint / chunkSizeBytes) - this.#chunks.length;
    return left >= 1 ? left : null;
  }

  #watchSealed(writer: ChunkWriter): void {
    const onSettled = (): void => {
      this.#unsealedCount -= 1;
      this.#notifier.notify();
    };
    writer.sealed.then(
      (sealed) => {
        this.#options.onSealed(sealed);
        onSettled();
      },
      (error: unknown) => {
        this.#options.deadline.abort(asAshlarError(error, "write a chunk"));
        onSettled();
      },
    );
  }

  async #closeChunk(): Promise<void> {
    const { lengthBytes } = this.#openChunk;
    if (this.#chunks.length === CONTENT_CHUNKS_MAX) throw this.#tooLarge();
    const isZero = this.#openChunk.writer === null;
    const zeroChunk = isZero ? this.#zeroChunks.get(lengthBytes) : undefined;
    if (zeroChunk !== undefined) {
      this.#chunks.push(zeroChunk);
      this.#openChunk = { lengthBytes: 0, writer: null };
      this.#noteAcked(lengthBytes);
      return;
    }
    const writer = this.#openChunk.writer ?? (await this.#openWriter(null));
    if (isZero) {
      await pushZeros(writer, this.#options.deps, lengthBytes);
      this.#zeroChunks.set(lengthBytes, writer.sealed);
    }
    writer.end();
    this.#chunks.push(writer.sealed);
    this.#openChunk = { lengthBytes: 0, writer: null };
  }

  #noteAcked(moreBytes: number): void {
    this.#ackedBytes += moreBytes;
    this.#options.onProgress(this.#ackedBytes);
  }

  #tooLarge(): AshlarError {
    const { chunkSizeBytes } = this.#options;
    return new AshlarError(
      "TOO_LARGE",
      `Cannot write the file: expected at most ${CONTENT_CHUNKS_MAX} chunks of ${chunkSizeBytes} bytes`,
      { hint: "Use a larger chunk size" },
    );
  }
}

/** Pushes `lengthBytes` zeros. */
async function pushZeros(
  writer: ChunkWriter,
  deps: ClientDeps,
  lengthBytes: number,
): Promise<void> {
  for (const frame of deps.zeroBlocks.frames(lengthBytes)) await writer.push(frame);
}
