import { AssertionError } from "../../shared/base/assert.ts";
import { AshlarError, toErrorData } from "../../shared/base/errors.ts";
import {
  type BlocksRequest,
  type BlocksResponse,
  READ_BLOCKS_BYTES_MAX,
  READ_MANIFESTS_BYTES_MAX,
} from "../../shared/protocol/chunk-api.ts";
import { withBody } from "../../shared/wire/reply.ts";
import type { CallContext, Received, Reply } from "../../shared/wire/rpc.ts";
import type { BlockReader } from "../store/chunk-reader.ts";
import type { ByteRange } from "./frame-sender.ts";
import { blocksAround, type SendDeps } from "./send-chunk.ts";
import { sumOf } from "./sum-of.ts";

type RequestedRange = BlocksRequest["ranges"][number];
type RangeResult = BlocksResponse["results"][number];

const NO_HASHES = new Uint8Array(0);

/** A requested range: a chunk that is open, or the reason why it cannot be read. */
interface OpenRange extends ByteRange {
  readonly requested: RequestedRange;
  readonly reader: BlockReader | null;
  readonly hashes: Uint8Array;
  error: RangeResult["error"];
}

/**
 * Serves `chunk.read-blocks`: reads all ranges into one buffer. A range that cannot be read has an error and
 * does not fail the others.
 *
 * @throws {AshlarError} INVALID_ARGUMENT for more blocks or manifests than one call may have
 */
export async function readBlocks(
  deps: SendDeps,
  request: Received<BlocksRequest>,
  context: CallContext,
): Promise<Reply<BlocksResponse>> {
  request.release();
  const opened = await Promise.all(request.head.ranges.map((range) => openRange(deps, range)));
  try {
    const lengthBytes = sumOf(opened.map((range) => lengthOf(range)));
    checkTotal("blocks", lengthBytes, READ_BLOCKS_BYTES_MAX);
    const manifestBytes = sumOf(opened.map(({ hashes }) => hashes.length));
    checkTotal("manifests", manifestBytes, READ_MANIFESTS_BYTES_MAX);
    if (lengthBytes === 0) return withBody({ results: opened.map(resultOf) }, NO_HASHES);
    const { peer, peerAddress, signal } = context;
    const memory = deps.memory.of(peer, lengthBytes);
    const slab = await memory.acquire(peerAddress, lengthBytes, signal);
    try {
      const body = await readRanges(deps, opened, slab.bytes);
      deps.bytesSent.add(body.length);
      return withBody({ results: opened.map(resultOf) }, body, () => slab.release());
    } catch (error) {
      slab.release();
      throw error;
    }
  } finally {
    for (const { reader } of opened) reader?.release();
  }
}

async function openRange({ store }: SendDeps, requested: RequestedRange): Promise<OpenRange> {
  const { chunkId, offsetBytes, lengthBytes, withManifest } = requested;
  const nothing = { requested, startBytes: 0, endBytes: 0, hashes: NO_HASHES };
  let reader: BlockReader | null = null;
  try {
    reader = await store.openChunk(chunkId);
    if (offsetBytes >= reader.lengthBytes) {
      throw new AshlarError(
        "INVALID_ARGUMENT",
        `Cannot read chunk ${chunkId} from byte ${offsetBytes}: expected an offset below ${reader.lengthBytes}`,
      );
    }
    const hashes = withManifest ? reader.hashes() : NO_HASHES;
    const range = blocksAround(offsetBytes, lengthBytes, reader.lengthBytes);
    return { requested, reader, hashes, error: null, ...range };
  } catch (error) {
    reader?.release();
    return { ...nothing, reader: null, error: errorOf(error) };
  }
}

/** Reads the ranges one after another into `target`. Returns the part of it with the ranges that were read. */
async function readRanges(
  { recentReads }: SendDeps,
  ranges: readonly OpenRange[],
  target: Uint8Array,
): Promise<Uint8Array> {
  let plannedBytes = 0;
  const parts = ranges.map((range) => {
    const offsetBytes = plannedBytes;
    plannedBytes += lengthOf(range);
    return { range, offsetBytes, lengthBytes: lengthOf(range) };
  });
  await Promise.all(
    parts.map(async ({ range, offsetBytes, lengthBytes }) => {
      const { requested, reader, startBytes } = range;
      const part = target.subarray(offsetBytes, offsetBytes + lengthBytes);
      const use = recentReads.record(requested.chunkId, startBytes, lengthBytes);
      try {
        await reader?.read(part, startBytes, use);
      } catch (error) {
        range.error = errorOf(error);
      }
    }),
  );
  let endBytes = 0;
  for (const { range, offsetBytes, lengthBytes } of parts) {
    if (range.error !== null) continue;
    if (offsetBytes > endBytes) target.copyWithin(endBytes, offsetBytes, offsetBytes + lengthBytes);
    endBytes += lengthBytes;
  }
  return target.subarray(0, endBytes);
}

function resultOf({ error, startBytes, endBytes, reader, hashes }: OpenRange): RangeResult {
  if (error !== null || reader === null) {
    const nothing = { offsetBytes: 0, lengthBytes: 0, chunkLengthBytes: 0, hashes: NO_HASHES };
    return { error, ...nothing };
  }
  const lengthBytes = endBytes - startBytes;
  const chunkLengthBytes = reader.lengthBytes;
  return { error: null, offsetBytes: startBytes, lengthBytes, chunkLengthBytes, hashes };
}

function lengthOf({ error, startBytes, endBytes }: OpenRange): number {
  return error === null ? endBytes - startBytes : 0;
}

/** Returns an error as the response names it. @throws the error of a bug, which stops the process */
function errorOf(error: unknown): RangeResult["error"] {
  if (error instanceof AssertionError) throw error;
  const { code, message } = toErrorData(error);
  return { code, message: message.slice(0, 4000) };
}

function checkTotal(what: string, bytes: number, bytesMax: number): void {
  if (bytes <= bytesMax) return;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot read ${bytes} bytes of ${what} in one call: expected at most ${bytesMax}`,
  );
}
