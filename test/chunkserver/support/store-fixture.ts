import assert from "node:assert/strict";
import type { ChunkStore } from "../../../chunkserver/store/chunk-store.ts";
import { openChunkStore, type StoreOptions } from "../../../chunkserver/store/open-store.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import type { Disk } from "../../../shared/ports/disk.ts";
import type { OrderedStores } from "../../../shared/ports/ordered-store.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";
import { framesOf, hasher, logIndex, type TestChunk, writeIdFor } from "./chunks.ts";

/** Opens a store over `storage`, which outlives the store. */
export function openTestStore(
  storage: { readonly disk: Disk; readonly stores: OrderedStores },
  options: Partial<StoreOptions> = {},
): Promise<ChunkStore> {
  return openChunkStore({
    ...storage,
    clock: new SystemClock(),
    random: new SeededRandom(7),
    hasher,
    log: new MemoryLog(),
    expected: { serverId: null, clusterId: null },
    reserveBytesFor: () => 0,
    diskTimeoutMs: 60_000,
    ...options,
  });
}

let writeCount = 0;

export interface PutOptions {
  readonly intentIndex?: number;
  /** Size announced by the writer. Default: the length of the chunk. */
  readonly sizeHintBytes?: number | null;
  readonly lifetimeMs?: number;
}

/** Writes and seals a chunk. Durable when it resolves. */
export async function putChunk(
  store: ChunkStore,
  chunk: TestChunk,
  options: PutOptions = {},
): Promise<void> {
  writeCount += 1;
  const { intentIndex = 1, sizeHintBytes = chunk.bytes.length, lifetimeMs = 60_000 } = options;
  const lease = await store.begin({
    writeId: writeIdFor(writeCount),
    intentIndex: logIndex(intentIndex),
    lifetimeMs,
    sizeHintBytes,
    purpose: "write",
    resumeAtBytes: 0,
  });
  try {
    for (const frame of framesOf(chunk)) {
      await lease.write(frame.offsetBytes, frame.hashes, frame.bytes);
    }
    await lease.seal(chunk.chunkId, chunk.bytes.length);
  } finally {
    lease.release();
  }
}

/** Reads all bytes of a chunk. */
export async function readAll(
  store: ChunkStore,
  chunkId: TestChunk["chunkId"],
): Promise<Uint8Array> {
  const reader = await store.openChunk(chunkId);
  try {
    const bytes = new Uint8Array(reader.lengthBytes);
    await reader.read(bytes, 0);
    return bytes;
  } finally {
    reader.release();
  }
}

/** Asserts that the chunk reads back as it was written, and that its manifest matches. */
export async function assertHolds(store: ChunkStore, chunk: TestChunk): Promise<void> {
  const bytes = await readAll(store, chunk.chunkId);
  assert.ok(Buffer.from(bytes).equals(chunk.bytes), "the bytes are the written ones");
  const manifest = store.manifest(chunk.chunkId);
  assert.equal(manifest.lengthBytes, chunk.bytes.length);
  assert.ok(Buffer.from(manifest.hashes).equals(chunk.hashes), "the manifest is that of the chunk");
}
