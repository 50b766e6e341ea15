import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES, DIGEST_BYTES } from "../../shared/base/ids.ts";
import type { Slab, SlabPool } from "../../shared/flow/slabs.ts";
import type { CacheUse } from "../../shared/ports/disk.ts";
import type { Counter } from "../../shared/ports/metrics.ts";
import {
  FRAME_BYTES_MAX,
  type PartialDown,
  type PartialOpen,
  type ReadDown,
  type ReadOpen,
} from "../../shared/protocol/chunk-api.ts";
import { blockCount } from "../../shared/protocol/chunk-id.ts";
import type { CallContext, Received, Stream } from "../../shared/wire/rpc.ts";
import type { BlockReader } from "../store/chunk-reader.ts";
import type { ChunkStore } from "../store/chunk-store.ts";
import type { RecentReads } from "../store/recent-reads.ts";

/** Number of frames that are read from the disk while earlier frames are sent. */
const READ_AHEAD_FRAMES = 2;
/** Number of frames that are sent at the same time: the connection is not idle between frames. */
const SENDING_FRAMES_MAX = 2;

const NO_HASHES = new Uint8Array(0);

/** Dependencies of `sendChunk` and `sendPartial`. */
export interface SendDeps {
  readonly store: ChunkStore;
  /** Buffers for data between the disk and the network. */
  readonly slabs: SlabPool;
  readonly recentReads: RecentReads;
  readonly bytesSent: Counter;
}

/**
 * Serves `chunk.read`: sends the whole blocks that cover a range, up to the end of the chunk.
 *
 * @throws {AshlarError} CHUNK_NOT_FOUND; INVALID_ARGUMENT for a range beyond the chunk.
 */
export async function sendChunk(
  deps: SendDeps,
  request: Received<ReadOpen>,
  stream: Stream<ReadDown, object>,
  context: CallContext,
): Promise<void> {
  request.release();
  const { chunkId, offsetBytes, lengthBytes, withManifest } = request.head;
  const reader = await deps.store.openChunk(chunkId);
  try {
    const chunkLengthBytes = reader.lengthBytes;
    if (offsetBytes >= chunkLengthBytes) {
      throw new AshlarError(
        "INVALID_ARGUMENT",
        `Cannot read chunk ${chunkId} from byte ${offsetBytes}: expected an offset below ${chunkLengthBytes}`,
      );
    }
    let hashes = withManifest ? reader.hashes() : NO_HASHES;
    const range = blocksAround(offsetBytes, lengthBytes, chunkLengthBytes);
    if (range.startBytes === range.endBytes) {
      await stream.send({ offsetBytes: range.startBytes, chunkLengthBytes, hashes });
      return;
    }
    const rangeBytes = range.endBytes - range.startBytes;
    await sendFrames(deps, reader, range, {
      signal: context.signal,
      cacheUse: deps.recentReads.record(chunkId, range.startBytes, rangeBytes),
      send: (frameOffsetBytes, body) => {
        const sent = stream.send({ offsetBytes: frameOffsetBytes, chunkLengthBytes, hashes }, body);
        hashes = NO_HASHES; // Only the first frame carries the manifest.
        return sent;
      },
    });
  } finally {
    reader.release();
  }
}

/** Serves `chunk.read-partial`: sends the first bytes of a write with their block hashes. */
export async function sendPartial(
  deps: SendDeps,
  request: Received<PartialOpen>,
  stream: Stream<PartialDown, object>,
  context: CallContext,
): Promise<void> {
  request.release();
  const { writeId, lengthBytes } = request.head;
  const reader = await deps.store.openPartial(writeId, lengthBytes);
  try {
    const hashes = reader.hashes();
    const range = { startBytes: 0, endBytes: lengthBytes };
    await sendFrames(deps, reader, range, {
      signal: context.signal,
      cacheUse: "pass",
      send: (offsetBytes, body) => {
        const first = offsetBytes / BLOCK_BYTES;
        const end = first + blockCount(body.length);
        const frameHashes = hashes.subarray(first * DIGEST_BYTES, end * DIGEST_BYTES);
        return stream.send({ offsetBytes, hashes: frameHashes }, body);
      },
    });
  } finally {
    reader.release();
  }
}

interface ByteRange {
  readonly startBytes: number;
  /** End of the range, exclusive. */
  readonly endBytes: number;
}

/**
 * Returns the whole blocks around a range, up to the end of the chunk. Empty for an empty range.
 */
function blocksAround(offsetBytes: number, lengthBytes: number, chunkBytes: number): ByteRange {
  const startBytes = offsetBytes - (offsetBytes % BLOCK_BYTES);
  if (lengthBytes === 0) return { startBytes, endBytes: startBytes };
  const endBlock = Math.ceil((offsetBytes + lengthBytes) / BLOCK_BYTES);
  return { startBytes, endBytes: Math.min(endBlock * BLOCK_BYTES, chunkBytes) };
}

interface FrameSink {
  readonly signal: AbortSignal;
  readonly cacheUse: CacheUse;
  /** Resolves when `body` may be reused and the peer can receive more. */
  send(offsetBytes: number, body: Uint8Array): Promise<void>;
}

interface LoadingFrame {
  readonly offsetBytes: number;
  readonly slab: Promise<Slab>;
}

/**
 * Sends a range in frames. Reads the next frames from the disk while earlier frames are sent. If
 * the peer stops receiving, reading and sending stop, and hold a bounded number of slabs.
 */
async function sendFrames(
  deps: SendDeps,
  reader: BlockReader,
  range: ByteRange,
  sink: FrameSink,
): Promise<void> {
  const loading: LoadingFrame[] = [];
  const sending: Promise<void>[] = [];
  let nextBytes = range.startBytes;
  try {
    for (;;) {
      while (loading.length <= READ_AHEAD_FRAMES && nextBytes < range.endBytes) {
        const lengthBytes = Math.min(FRAME_BYTES_MAX, range.endBytes - nextBytes);
        const slab = loadFrame(deps.slabs, reader, { offsetBytes: nextBytes, lengthBytes }, sink);
        slab.catch(() => {}); // Awaited below, in order.
        loading.push({ offsetBytes: nextBytes, slab });
        nextBytes += lengthBytes;
      }
      const frame = loading.shift();
      if (frame === undefined) break;
      const slab = await frame.slab;
      deps.bytesSent.add(slab.bytes.length);
      const sent = sink.send(frame.offsetBytes, slab.bytes).finally(() => slab.release());
      sent.catch(() => {}); // Awaited below, in order.
      sending.push(sent);
      if (sending.length >= SENDING_FRAMES_MAX) await sending.shift();
    }
    for (const sent of sending) await sent;
  } finally {
    await Promise.allSettled(sending);
    for (const frame of loading) await frame.slab.then((slab) => slab.release()).catch(() => {});
  }
}

async function loadFrame(
  slabs: SlabPool,
  reader: BlockReader,
  frame: { readonly offsetBytes: number; readonly lengthBytes: number },
  sink: FrameSink,
): Promise<Slab> {
  const slab = await slabs.acquire(frame.lengthBytes, sink.signal);
  assert(slab.bytes.length === frame.lengthBytes, "a slab has the requested length");
  try {
    await reader.read(slab.bytes, frame.offsetBytes, sink.cacheUse);
    return slab;
  } catch (error) {
    slab.release();
    throw error;
  }
}
