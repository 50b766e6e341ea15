import { assert } from "../../shared/base/assert.ts";
import { toHex } from "../../shared/base/bytes.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES, DIGEST_BYTES } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Random } from "../../shared/ports/random.ts";
import {
  FRAME_BYTES_MAX,
  type ReadDown,
  readChunk,
  reportCorruptChunk,
} from "../../shared/protocol/chunk-api.ts";
import { blockCount, chunkIdOf } from "../../shared/protocol/chunk-id.ts";
import type { Order } from "../../shared/protocol/fleet-api.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import type { ConnectionPool } from "../../shared/wire/connection-pool.ts";
import type { Received, Stream } from "../../shared/wire/rpc.ts";
import type { ChunkStore } from "../store/chunk-store.ts";
import { firstCorruptBlock } from "../store/verify-blocks.ts";
import type { WriteLease } from "../store/writes.ts";

/** An order of the master to copy a chunk to this server. */
export type CopyOrder = Extract<Order, { kind: "copy" }>;

/** Dependencies of `copyChunk`. */
export interface CopyDeps {
  readonly store: ChunkStore;
  readonly hasher: Hasher;
  readonly random: Random;
  readonly pool: ConnectionPool;
}

/** Time limit of one source. If it expires, the next source is tried. */
const SOURCE_TIMEOUT_MS = 60_000;
const REPORT_TIMEOUT_MS = 5_000;
/**
 * Time after which the master is asked about a copied replica that it has not confirmed. The master
 * usually records a copy within one or two heartbeats.
 */
const COPY_LIFETIME_MS = 10 * 60_000;

type ReadFrame = Received<ReadDown>;

/**
 * Makes a replica that the master ordered: reads the chunk from a source, verifies each block and
 * seals the chunk under the index of the order. If a source fails, the copy continues at the same
 * byte from the next source. Durable when it resolves.
 *
 * @throws {AshlarError} NO_GOOD_REPLICA with the error of each source; NO_SPACE; DISK_FAILED.
 */
export async function copyChunk(
  deps: CopyDeps,
  order: CopyOrder,
  signal: AbortSignal,
): Promise<void> {
  const { chunkId, lengthBytes, intentIndex } = order;
  const lifetimeMs = COPY_LIFETIME_MS;
  if (await hasIntactReplica(deps, order)) {
    await deps.store.raiseIntent({ chunkId, lengthBytes, intentIndex, lifetimeMs });
    return;
  }
  const lease = await deps.store.begin({
    writeId: toHex(deps.random.bytes(16)),
    intentIndex,
    lifetimeMs,
    sizeHintBytes: lengthBytes,
    purpose: "copy",
    resumeAtBytes: 0,
  });
  try {
    await copyFromAny(deps, lease, order, signal);
    await lease.seal(chunkId, lengthBytes);
  } finally {
    lease.abandon();
  }
}

/**
 * Returns whether this server already has an intact replica. The master does not expect a replica
 * here, so an existing replica is verified before it is reported.
 */
async function hasIntactReplica(deps: CopyDeps, order: CopyOrder): Promise<boolean> {
  if (!deps.store.has(order.chunkId)) return false;
  const buffer = new Uint8Array(FRAME_BYTES_MAX);
  return (await deps.store.verify(order.chunkId, buffer)) === "intact";
}

/** Tries the sources in order. @throws {AshlarError} NO_GOOD_REPLICA if all of them failed. */
async function copyFromAny(
  deps: CopyDeps,
  lease: WriteLease,
  order: CopyOrder,
  signal: AbortSignal,
): Promise<void> {
  const failures: string[] = [];
  for (const source of order.sources) {
    if (source.serverId === deps.store.serverId) continue;
    try {
      await copyFrom(deps, lease, { order, source }, signal);
      return;
    } catch (error) {
      if (signal.aborted || !isSourceError(deps.store, error)) throw error;
      failures.push(`${source.address}: ${error.message}`);
      if (isAshlarError(error, "CHUNK_CORRUPT")) await reportCorruption(deps, source, order);
    }
  }
  throw new AshlarError(
    "NO_GOOD_REPLICA",
    `Cannot copy chunk ${order.chunkId}: ${failures.join("; ") || "the order has no source"}`,
  );
}

/**
 * Returns whether another source may succeed. False if the disk of this server is full or failed.
 * DISK_FAILED alone may be the error of the source.
 */
function isSourceError(store: ChunkStore, error: unknown): error is AshlarError {
  return error instanceof AshlarError && error.code !== "NO_SPACE" && store.failure === null;
}

interface CopyAttempt {
  readonly order: CopyOrder;
  readonly source: ServerLocation;
}

async function copyFrom(
  deps: CopyDeps,
  lease: WriteLease,
  { order, source }: CopyAttempt,
  signal: AbortSignal,
): Promise<void> {
  const { chunkId, lengthBytes } = order;
  const options = { timeoutMs: SOURCE_TIMEOUT_MS, signal };
  const connection = await deps.pool.get(source.address, options);
  // The bytes of an earlier source were verified. Its last frame may have ended within a block.
  const offsetBytes = lease.receivedBytes - (lease.receivedBytes % BLOCK_BYTES);
  const request = { chunkId, offsetBytes, lengthBytes: lengthBytes - offsetBytes };
  const stream = connection.open(readChunk, { ...request, withManifest: true }, options);
  let manifest: Uint8Array | null = null;
  try {
    while (lease.receivedBytes < lengthBytes) {
      const frame = await stream.receive();
      if (frame === null) break;
      try {
        manifest ??= checkedManifest(deps.hasher, order, frame);
        await writeFrame(deps.hasher, lease, frame, manifest);
      } finally {
        frame.release();
      }
    }
  } finally {
    cancelStream(stream);
  }
  if (lease.receivedBytes === lengthBytes) return;
  throw new AshlarError(
    "CHUNK_NOT_FOUND",
    `Cannot read the whole chunk: expected ${lengthBytes} bytes: current value is ${lease.receivedBytes}`,
  );
}

function cancelStream(stream: Stream<object, unknown>): void {
  stream.cancel(new AshlarError("CANCELLED", "The copy does not need the rest of the stream"));
}

/**
 * Returns the block hashes.
 *
 * @throws {AshlarError} CHUNK_CORRUPT if they do not match the chunk id.
 */
function checkedManifest(hasher: Hasher, order: CopyOrder, frame: ReadFrame): Uint8Array {
  const { hashes, chunkLengthBytes } = frame.head;
  const { chunkId, lengthBytes } = order;
  const isWhole =
    chunkLengthBytes === lengthBytes && hashes.length === blockCount(lengthBytes) * DIGEST_BYTES;
  if (isWhole && chunkIdOf(hasher, lengthBytes, hashes) === chunkId) return hashes.slice();
  throw new AshlarError("CHUNK_CORRUPT", "The block hashes do not match the chunk id");
}

/** Verifies a frame against the manifest and writes it. */
async function writeFrame(
  hasher: Hasher,
  lease: WriteLease,
  frame: ReadFrame,
  manifest: Uint8Array,
): Promise<void> {
  const { offsetBytes } = frame.head;
  const first = offsetBytes / BLOCK_BYTES;
  const end = first + blockCount(frame.body.length);
  const isAligned = Number.isInteger(first);
  const isNext = isAligned && offsetBytes <= lease.receivedBytes && frame.body.length > 0;
  if (!isNext || end * DIGEST_BYTES > manifest.length) {
    throw new AshlarError("PROTOCOL_ERROR", `A frame at byte ${offsetBytes} is out of order`);
  }
  const hashes = manifest.slice(first * DIGEST_BYTES, end * DIGEST_BYTES);
  const corrupt = firstCorruptBlock(hasher, frame.body, hashes);
  if (corrupt >= 0) {
    throw new AshlarError("CHUNK_CORRUPT", `Block ${first + corrupt} does not match its hash`);
  }
  assert(hashes.length === blockCount(frame.body.length) * DIGEST_BYTES, "each block has a hash");
  await lease.write(offsetBytes, hashes, frame.body);
}

/**
 * Asks the source to verify its replica. Best effort: the scrub of the source finds the damage too.
 */
async function reportCorruption(
  deps: CopyDeps,
  source: ServerLocation,
  order: CopyOrder,
): Promise<void> {
  const { chunkId } = order;
  try {
    const options = { timeoutMs: REPORT_TIMEOUT_MS };
    const reply = await deps.pool.call(source.address, reportCorruptChunk, { chunkId }, options);
    reply.release();
  } catch (error) {
    if (!isAshlarError(error)) throw error;
  }
}
