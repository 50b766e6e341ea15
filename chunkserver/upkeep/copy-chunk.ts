import { assert } from "../../shared/base/assert.ts";
import { toHex } from "../../shared/base/bytes.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES, DIGEST_BYTES } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Random } from "../../shared/ports/random.ts";
import { FRAME_BYTES_MAX, readChunk, reportRot } from "../../shared/protocol/chunk-api.ts";
import { blockCount, chunkIdOf } from "../../shared/protocol/chunk-id.ts";
import type { Order } from "../../shared/protocol/fleet-api.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import type { ConnectionPool } from "../../shared/wire/connection-pool.ts";
import type { Received, Stream } from "../../shared/wire/rpc.ts";
import type { ChunkStore } from "../store/chunk-store.ts";
import { firstRottenBlock } from "../store/verify-blocks.ts";
import type { WriteLease } from "../store/writes.ts";

export type CopyOrder = Extract<Order, { kind: "copy" }>;

export interface CopyWorld {
  readonly store: ChunkStore;
  readonly hasher: Hasher;
  readonly random: Random;
  readonly pool: ConnectionPool;
}

/** From one source; a source that is slower is left for the next. */
const SOURCE_TIMEOUT_MS = 60_000;
const REPORT_TIMEOUT_MS = 5_000;
/** The master records a copy within a heartbeat or two; it is asked about one after so long. */
const COPY_LIFETIME_MS = 10 * 60_000;

type ReadFrame = Received<ReturnType<(typeof readChunk)["parseDown"]>>;

/**
 * Makes a copy that the master ordered: pulls the chunk from a source, verifies every block and
 * seals it under the order's index. What one source gave is kept when the next one goes on.
 * Durable when it resolves.
 *
 * @throws {AshlarError} NO_GOOD_REPLICA telling what each source did; NO_SPACE, DISK_FAILED, …
 */
export async function copyChunk(
  world: CopyWorld,
  order: CopyOrder,
  signal: AbortSignal,
): Promise<void> {
  const { chunkId, lengthBytes, intentIndex } = order;
  const lifetimeMs = COPY_LIFETIME_MS;
  if (await hasSoundCopy(world, order)) {
    await world.store.raiseIntent({ chunkId, lengthBytes, intentIndex, lifetimeMs });
    return;
  }
  const lease = await world.store.begin({
    writeId: toHex(world.random.bytes(16)),
    intentIndex,
    lifetimeMs,
    sizeHintBytes: lengthBytes,
    purpose: "copy",
    resumeAtBytes: 0,
  });
  try {
    await pullFromAny(world, lease, order, signal);
    await lease.seal(chunkId, lengthBytes);
  } finally {
    lease.abandon();
  }
}

/** The master counts on no copy here. If there is one, it is proven before it counts again. */
async function hasSoundCopy(world: CopyWorld, order: CopyOrder): Promise<boolean> {
  if (!world.store.has(order.chunkId)) return false;
  const buffer = new Uint8Array(FRAME_BYTES_MAX);
  return (await world.store.examine(order.chunkId, buffer)) === "sound";
}

async function pullFromAny(
  world: CopyWorld,
  lease: WriteLease,
  order: CopyOrder,
  signal: AbortSignal,
): Promise<void> {
  const failures: string[] = [];
  for (const source of order.sources) {
    if (source.serverId === world.store.serverId) continue;
    try {
      await pull(world, lease, { order, source }, signal);
      return;
    } catch (error) {
      if (signal.aborted || !isOfSource(error)) throw error;
      failures.push(`${source.address}: ${error.message}`);
      if (isAshlarError(error, "CHUNK_CORRUPT")) await tellOfRot(world, source, order);
    }
  }
  throw new AshlarError(
    "NO_GOOD_REPLICA",
    `Cannot copy chunk ${order.chunkId}: ${failures.join("; ") || "no source was named"}`,
  );
}

/** Whether another source may do better: not where this server's own disk refuses. */
function isOfSource(error: unknown): error is AshlarError {
  return error instanceof AshlarError && !["NO_SPACE", "DISK_FAILED"].includes(error.code);
}

interface Pull {
  readonly order: CopyOrder;
  readonly source: ServerLocation;
}

async function pull(
  world: CopyWorld,
  lease: WriteLease,
  { order, source }: Pull,
  signal: AbortSignal,
): Promise<void> {
  const { chunkId, lengthBytes } = order;
  const options = { timeoutMs: SOURCE_TIMEOUT_MS, signal };
  const connection = await world.pool.get(source.address, options);
  // What an earlier source gave was verified; the last frame may have ended within a block.
  const offsetBytes = lease.receivedBytes - (lease.receivedBytes % BLOCK_BYTES);
  const request = { chunkId, offsetBytes, lengthBytes: lengthBytes - offsetBytes };
  const stream = connection.open(readChunk, { ...request, withManifest: true }, options);
  let manifest: Uint8Array | null = null;
  try {
    while (lease.receivedBytes < lengthBytes) {
      const frame = await stream.receive();
      if (frame === null) break;
      try {
        manifest ??= checkedManifest(world.hasher, order, frame);
        await takeFrame(world.hasher, lease, frame, manifest);
      } finally {
        frame.release();
      }
    }
  } finally {
    giveUp(stream);
  }
  if (lease.receivedBytes === lengthBytes) return;
  throw new AshlarError(
    "CHUNK_NOT_FOUND",
    `Cannot read the whole chunk: ${lease.receivedBytes} of ${lengthBytes} bytes came`,
  );
}

function giveUp(stream: Stream<object, unknown>): void {
  stream.cancel(new AshlarError("CANCELLED", "The copy needs no more of this stream"));
}

/** @throws {AshlarError} CHUNK_CORRUPT if the source's hashes do not make up the chunk id. */
function checkedManifest(hasher: Hasher, order: CopyOrder, frame: ReadFrame): Uint8Array {
  const { hashes, chunkLengthBytes } = frame.head;
  const { chunkId, lengthBytes } = order;
  const isWhole =
    chunkLengthBytes === lengthBytes && hashes.length === blockCount(lengthBytes) * DIGEST_BYTES;
  if (isWhole && chunkIdOf(hasher, lengthBytes, hashes) === chunkId) return hashes.slice();
  throw new AshlarError("CHUNK_CORRUPT", "The block hashes do not make up the chunk id");
}

async function takeFrame(
  hasher: Hasher,
  lease: WriteLease,
  frame: ReadFrame,
  manifest: Uint8Array,
): Promise<void> {
  const { offsetBytes } = frame.head;
  const first = offsetBytes / BLOCK_BYTES;
  const end = first + blockCount(frame.body.length);
  const isNext = Number.isInteger(first) && offsetBytes <= lease.receivedBytes;
  const isInPlace = isNext && frame.body.length > 0;
  if (!isInPlace || end * DIGEST_BYTES > manifest.length) {
    throw new AshlarError("PROTOCOL_ERROR", `A frame at byte ${offsetBytes} is out of place`);
  }
  const hashes = manifest.slice(first * DIGEST_BYTES, end * DIGEST_BYTES);
  const rotten = firstRottenBlock(hasher, frame.body, hashes);
  if (rotten >= 0) {
    throw new AshlarError("CHUNK_CORRUPT", `Block ${first + rotten} does not match its hash`);
  }
  assert(hashes.length === blockCount(frame.body.length) * DIGEST_BYTES, "a hash for every block");
  await lease.write(offsetBytes, hashes, frame.body);
}

/** The source looks for itself; if it does not answer now, its scrub will find it. */
async function tellOfRot(
  world: CopyWorld,
  source: ServerLocation,
  order: CopyOrder,
): Promise<void> {
  const { chunkId } = order;
  try {
    const options = { timeoutMs: REPORT_TIMEOUT_MS };
    const reply = await world.pool.call(source.address, reportRot, { chunkId }, options);
    reply.release();
  } catch (error) {
    if (!isAshlarError(error)) throw error;
  }
}
