import { assert } from "../../shared/base/assert.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES } from "../../shared/base/ids.ts";
import { type ReadDown, readChunk } from "../../shared/protocol/chunk-api.ts";
import type { Received, Stream } from "../../shared/wire/rpc.ts";
import type { ClientDeps } from "../client-deps.ts";
import { asAshlarError, type Deadline } from "../deadline.ts";
import type { ChunkLocation, Replica } from "./chunk-map.ts";
import { type Manifest, verifyManifest } from "./manifest-cache.ts";

/** Lifetime of a stream. If its consumer pauses for longer, the rest is read by another stream. */
const STREAM_TIMEOUT_MS = 10 * 60 * 1000;

/** Blocks as a server sent them. The caller must verify them against the manifest. */
export interface UnverifiedFrame {
  /** Offset in the chunk, a block boundary. */
  readonly offsetBytes: number;
  readonly bytes: Uint8Array;
  readonly manifest: Manifest;
  release(): void;
}

/** The next frame of an attempt, or the error that ended the attempt. */
export type FrameOutcome =
  | { readonly kind: "frame"; readonly attempt: ReadAttempt; readonly frame: UnverifiedFrame }
  | { readonly kind: "failed"; readonly attempt: ReadAttempt; readonly error: AshlarError };

/** A request for a range of a chunk to one replica. */
export class ReadAttempt {
  readonly server: Replica;
  readonly #deps: ClientDeps;
  readonly #deadline: Deadline;
  readonly #chunk: ChunkLocation;
  readonly #endBytes: number;
  readonly #startedMs: number;
  #offsetBytes: number;
  #manifest: Manifest | undefined;
  #stream: Stream<unknown, ReadDown> | null = null;
  /** The outcome that `next` returns. Null after it was consumed. */
  #pending: Promise<FrameOutcome> | null;
  readonly #fork: ReturnType<Deadline["fork"]>;
  #isOver = false;

  /**
   * Sends the request. `startBytes` and `endBytes` are block boundaries of the chunk or its end.
   */
  constructor(options: {
    readonly deps: ClientDeps;
    readonly deadline: Deadline;
    readonly chunk: ChunkLocation;
    readonly server: Replica;
    readonly startBytes: number;
    readonly endBytes: number;
  }) {
    assert(options.startBytes % BLOCK_BYTES === 0, "a read starts at a block boundary");
    assert(options.startBytes < options.endBytes, "a read has at least one byte");
    this.#deps = options.deps;
    this.#deadline = options.deadline;
    this.#fork = options.deadline.fork();
    this.#chunk = options.chunk;
    this.server = options.server;
    this.#offsetBytes = options.startBytes;
    this.#endBytes = options.endBytes;
    this.#startedMs = options.deps.env.clock.monotonicMs();
    this.#manifest = options.deps.manifests.get(options.chunk.chunkId);
    this.#deps.chunkservers.health.recordStart(this.server.serverId);
    this.#pending = this.#outcome(this.#open());
  }

  /**
   * Resolves with the next frame in order, or with the error. Never rejects. Returns the same
   * promise until `consumeOutcome`.
   */
  next(): Promise<FrameOutcome> {
    this.#pending ??= this.#outcome(this.#receive());
    return this.#pending;
  }

  /** Marks the outcome of `next` as consumed: the following `next` requests another frame. */
  consumeOutcome(): void {
    this.#pending = null;
  }

  /** Whether the lifetime of the stream is over: a timeout is then not a fault of the server. */
  get hasExpired(): boolean {
    const ageMs = this.#deps.env.clock.monotonicMs() - this.#startedMs;
    return ageMs >= STREAM_TIMEOUT_MS;
  }

  /** Ends the attempt. A frame that arrives later is released. */
  cancel(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#fork[Symbol.dispose]();
    this.#deps.chunkservers.health.recordEnd(this.server.serverId);
    this.#stream?.cancel(new AshlarError("CANCELLED", "The reader needs no more of this stream"));
    this.#pending?.then(
      (outcome) => {
        if (outcome.kind === "frame") outcome.frame.release();
      },
      () => {}, // Never called: outcomes do not reject.
    );
    this.#pending = null;
  }

  async #outcome(receiving: Promise<UnverifiedFrame>): Promise<FrameOutcome> {
    try {
      return { kind: "frame", attempt: this, frame: await receiving };
    } catch (error) {
      return { kind: "failed", attempt: this, error: asAshlarError(error, "read a chunk") };
    }
  }

  /** Receives the first frame. Records the latency of the server. */
  async #open(): Promise<UnverifiedFrame> {
    const { chunkservers, env } = this.#deps;
    const frame = (await this.#readBlocks()) ?? (await this.#openStream());
    chunkservers.health.recordLatency(
      this.server.serverId,
      env.clock.monotonicMs() - this.#startedMs,
    );
    return frame;
  }

  /** Reads a short range with one call. Null if the range is long, or the server has an old version. */
  async #readBlocks(): Promise<UnverifiedFrame | null> {
    const { blockReads } = this.#deps;
    const { chunkId } = this.#chunk;
    const lengthBytes = this.#endBytes - this.#offsetBytes;
    if (!blockReads.canRead(this.server, lengthBytes)) return null;
    const manifestOfBytes = this.#manifest === undefined ? this.#chunk.lengthBytes : null;
    const range = { chunkId, offsetBytes: this.#offsetBytes, lengthBytes, manifestOfBytes };
    try {
      return this.#checked(await blockReads.read(this.server, range, this.#fork.signal));
    } catch (error) {
      if (isAshlarError(error, "UNSUPPORTED")) return null;
      throw error;
    }
  }

  async #openStream(): Promise<UnverifiedFrame> {
    const { chunkservers } = this.#deps;
    const request = {
      chunkId: this.#chunk.chunkId,
      offsetBytes: this.#offsetBytes,
      lengthBytes: this.#endBytes - this.#offsetBytes,
      withManifest: this.#manifest === undefined,
    };
    const stream = await chunkservers.open(this.server, readChunk, request, {
      deadline: this.#deadline,
      signal: this.#fork.signal,
      timeoutMs: STREAM_TIMEOUT_MS,
    });
    this.#stream = stream;
    if (this.#isOver)
      stream.cancel(new AshlarError("CANCELLED", "The reader chose another server"));
    return await this.#receive();
  }

  async #receive(): Promise<UnverifiedFrame> {
    assert(this.#stream !== null, "the stream is open before a frame is received");
    const message = await this.#stream.receive();
    if (message === null) {
      throw new AshlarError("CONNECTION_LOST", "The stream ended before the range was read");
    }
    return this.#checked(message);
  }

  /** Checks position and length of a frame, and the manifest if it is the first. Releases a wrong frame. */
  #checked(message: Received<ReadDown>): UnverifiedFrame {
    try {
      return this.#frameOf(message);
    } catch (error) {
      message.release();
      throw error;
    }
  }

  #frameOf(message: Received<ReadDown>): UnverifiedFrame {
    const { head, body } = message;
    const { chunkId, lengthBytes } = this.#chunk;
    const offsetBytes = this.#offsetBytes;
    const isInOrder = head.offsetBytes === offsetBytes && head.chunkLengthBytes === lengthBytes;
    const endBytes = offsetBytes + body.length;
    const isWhole = endBytes === this.#endBytes || body.length % BLOCK_BYTES === 0;
    if (!isInOrder || body.length === 0 || endBytes > this.#endBytes || !isWhole) {
      throw new AshlarError(
        "PROTOCOL_ERROR",
        `Cannot accept a frame: expected bytes ${offsetBytes} to ${this.#endBytes} of a chunk of ${lengthBytes}: current bytes are ${head.offsetBytes} to ${head.offsetBytes + body.length} of ${head.chunkLengthBytes}`,
      );
    }
    if (this.#manifest === undefined) {
      const { hasher } = this.#deps.env;
      this.#manifest = verifyManifest(hasher, chunkId, { lengthBytes, hashes: head.hashes });
      this.#deps.manifests.put(this.#manifest);
    }
    this.#offsetBytes = endBytes;
    return { offsetBytes, bytes: body, manifest: this.#manifest, release: () => message.release() };
  }
}
