import { AshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES, DIGEST_BYTES } from "../../shared/base/ids.ts";
import type { Counter } from "../../shared/ports/metrics.ts";
import type {
  PartialDown,
  PartialOpen,
  ReadDown,
  ReadOpen,
} from "../../shared/protocol/chunk-api.ts";
import { blockCount } from "../../shared/protocol/chunk-id.ts";
import type { CallContext, Received, Stream } from "../../shared/wire/rpc.ts";
import type { ChunkStore } from "../store/chunk-store.ts";
import type { RecentReads } from "../store/recent-reads.ts";
import { type ByteRange, FrameSender } from "./frame-sender.ts";
import type { ReadMemory } from "./read-memory.ts";

const NO_HASHES = new Uint8Array(0);

/** Dependencies of `sendChunk` and `sendPartial`. */
export interface SendDeps {
  readonly store: ChunkStore;
  readonly memory: ReadMemory;
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
    const sender = new FrameSender(deps, reader, {
      ...{ context, stream, range },
      cacheUse: deps.recentReads.record(chunkId, range.startBytes, rangeBytes),
      send: (frameOffsetBytes, body, onReusable) => {
        const head = { offsetBytes: frameOffsetBytes, chunkLengthBytes, hashes };
        hashes = NO_HASHES; // Only the first frame carries the manifest.
        return stream.send(head, body, onReusable);
      },
    });
    await sender.run();
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
    const sender = new FrameSender(deps, reader, {
      ...{ context, stream, range },
      cacheUse: "pass",
      send: (offsetBytes, body, onReusable) => {
        const first = offsetBytes / BLOCK_BYTES;
        const end = first + blockCount(body.length);
        const frameHashes = hashes.subarray(first * DIGEST_BYTES, end * DIGEST_BYTES);
        return stream.send({ offsetBytes, hashes: frameHashes }, body, onReusable);
      },
    });
    await sender.run();
  } finally {
    reader.release();
  }
}

/**
 * Returns the whole blocks around a range, up to the end of the chunk. Empty for an empty range.
 */
export function blocksAround(
  offsetBytes: number,
  lengthBytes: number,
  chunkBytes: number,
): ByteRange {
  const startBytes = offsetBytes - (offsetBytes % BLOCK_BYTES);
  if (lengthBytes === 0) return { startBytes, endBytes: startBytes };
  const endBlock = Math.ceil((offsetBytes + lengthBytes) / BLOCK_BYTES);
  return { startBytes, endBytes: Math.min(endBlock * BLOCK_BYTES, chunkBytes) };
}
