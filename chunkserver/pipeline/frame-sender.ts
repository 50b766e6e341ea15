import type { FairSlabs } from "../../shared/flow/fair-slabs.ts";
import type { Slab } from "../../shared/flow/slabs.ts";
import type { CacheUse } from "../../shared/ports/disk.ts";
import type { Counter } from "../../shared/ports/metrics.ts";
import { FRAME_BYTES_MAX } from "../../shared/protocol/chunk-api.ts";
import type { CallContext, Stream } from "../../shared/wire/rpc.ts";
import type { BlockReader } from "../store/chunk-reader.ts";
import type { ReadMemory } from "./read-memory.ts";

/** Number of frames that are read from the disk while earlier frames are sent. */
const READ_AHEAD_FRAMES = 2;
/** Number of frames that are sent at the same time: the connection is not idle between frames. */
const SENDING_FRAMES_MAX = 2;

/** A range of a chunk. */
export interface ByteRange {
  readonly startBytes: number;
  /** End of the range, exclusive. */
  readonly endBytes: number;
}

/** Dependencies of a FrameSender. */
export interface FrameSenderDeps {
  readonly memory: ReadMemory;
  readonly bytesSent: Counter;
}

/** The range that a FrameSender sends, and its stream. */
export interface FrameSink {
  readonly range: ByteRange;
  readonly context: CallContext;
  readonly cacheUse: CacheUse;
  /** See `Stream.room` and `Stream.hasRoom`. */
  readonly stream: Pick<Stream<unknown, unknown>, "room" | "hasRoom">;
  /** Calls `onReusable` when `body` may be reused. Resolves when the peer can receive more. */
  send(offsetBytes: number, body: Uint8Array, onReusable: () => void): Promise<void>;
}

interface LoadingFrame {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly slab: Promise<Slab>;
}

/**
 * Sends a range in frames. Reads the next frames from the disk while earlier frames are sent.
 *
 * A frame takes memory only when the peer has room for it. So a peer that does not receive makes this server
 * hold nothing, except the bytes that the system has not sent yet.
 */
export class FrameSender {
  readonly #deps: FrameSenderDeps;
  readonly #reader: BlockReader;
  readonly #sink: FrameSink;
  readonly #memory: FairSlabs;
  readonly #loading: LoadingFrame[] = [];
  readonly #sending: Promise<void>[] = [];
  #nextBytes: number;
  #loadingBytes = 0;

  constructor(deps: FrameSenderDeps, reader: BlockReader, sink: FrameSink) {
    const { startBytes, endBytes } = sink.range;
    this.#deps = deps;
    this.#reader = reader;
    this.#sink = sink;
    this.#memory = deps.memory.of(sink.context.peer, endBytes - startBytes);
    this.#nextBytes = startBytes;
  }

  /** Resolves when the peer has room for more after the last frame. */
  async run(): Promise<void> {
    try {
      for (;;) {
        await this.#loadMore();
        const frame = this.#loading.shift();
        if (frame === undefined) break;
        this.#loadingBytes -= frame.lengthBytes;
        this.#send(frame.offsetBytes, await frame.slab);
        if (this.#sending.length >= SENDING_FRAMES_MAX) await this.#sending.shift();
      }
      for (const sent of this.#sending) await sent;
    } finally {
      await Promise.allSettled(this.#sending);
      for (const { slab } of this.#loading) {
        await slab.then((loaded) => loaded.release()).catch(() => {}); // Reported by `run`, or not needed.
      }
    }
  }

  /** Waits until the first frame can be loaded. Further ones are loaded only if they need not wait. */
  async #loadMore(): Promise<void> {
    const { stream, context } = this.#sink;
    if (this.#loading.length === 0 && this.#lengthOfNext > 0) {
      await stream.room(0);
      const { peerAddress, signal } = context;
      this.#load(await this.#memory.acquire(peerAddress, this.#lengthOfNext, signal));
    }
    while (this.#loading.length <= READ_AHEAD_FRAMES && this.#lengthOfNext > 0) {
      if (!stream.hasRoom(this.#loadingBytes)) return;
      const slab = this.#memory.tryAcquire(context.peerAddress, this.#lengthOfNext);
      if (slab === null) return;
      this.#load(slab);
    }
  }

  /** Length of the frame that is loaded next. 0 after the last one. */
  get #lengthOfNext(): number {
    return Math.min(FRAME_BYTES_MAX, this.#sink.range.endBytes - this.#nextBytes);
  }

  #load(slab: Slab): void {
    const offsetBytes = this.#nextBytes;
    const lengthBytes = slab.bytes.length;
    const loaded = this.#fill(slab, offsetBytes);
    loaded.catch(() => {}); // Awaited in order.
    this.#loading.push({ offsetBytes, lengthBytes, slab: loaded });
    this.#nextBytes += lengthBytes;
    this.#loadingBytes += lengthBytes;
  }

  /** Fills the slab from the disk. Releases it if this fails. */
  async #fill(slab: Slab, offsetBytes: number): Promise<Slab> {
    try {
      await this.#reader.read(slab.bytes, offsetBytes, this.#sink.cacheUse);
      return slab;
    } catch (error) {
      slab.release();
      throw error;
    }
  }

  #send(offsetBytes: number, slab: Slab): void {
    this.#deps.bytesSent.add(slab.bytes.length);
    const sent = this.#sink.send(offsetBytes, slab.bytes, () => slab.release());
    sent.catch(() => {}); // Awaited in order.
    this.#sending.push(sent);
  }
}
