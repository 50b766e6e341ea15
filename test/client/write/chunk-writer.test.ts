import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Chunkservers } from "../../../client/chunkservers/chunkservers.ts";
import { Deadline } from "../../../client/deadline.ts";
import type { MasterSession } from "../../../client/masters/master-session.ts";
import { ChunkWriter } from "../../../client/write/chunk-writer.ts";
import { Intents } from "../../../client/write/intents.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import { BLOCK_BYTES, CHUNK_BYTES_MAX } from "../../../shared/base/ids.ts";
import { SlabPool } from "../../../shared/flow/slabs.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import type { Env } from "../../../shared/ports/env.ts";
import { hashBlocks } from "../../../shared/protocol/chunk-id.ts";
import type { ConnectionPool } from "../../../shared/wire/connection-pool.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { hasCode } from "../../support/wire-fixture.ts";

const { hasher } = createHasher();

/** Returns the writer of a chunk for which the masters refuse an intent. */
function refusedWriter(): ChunkWriter {
  const clock = new VirtualClock();
  const random = new SeededRandom(1);
  const env = { clock, random, hasher } as unknown as Env;
  const pool = {} as ConnectionPool;
  const chunkservers = new Chunkservers({ pool, clock, random, hostName: "" });
  const deadline = new Deadline(clock, "write the file");
  const refusal = new AshlarError("NOT_FOUND", "Cannot place chunks: no such directory");
  const masters = { call: () => Promise.reject(refusal) } as unknown as MasterSession;
  const intents = new Intents({
    masters,
    chunkservers,
    clock,
    deadline,
    timeoutMs: 1000,
    target: { path: new TextEncoder().encode("/a") },
    storageClass: undefined,
    chunkSizeBytes: CHUNK_BYTES_MAX,
    hostName: "",
  });
  return new ChunkWriter({
    env,
    chunkservers,
    intents,
    deadline,
    capacityBytes: CHUNK_BYTES_MAX,
    sizeHintBytes: null,
    chunksLeft: null,
    onAcked: () => {},
    onRetry: () => {},
  });
}

describe("a chunk that cannot be written", () => {
  it("releases every frame, regardless of when it was pushed", async () => {
    const slabs = new SlabPool({ bytesMax: 64 * 1024 * 1024 });
    const writer = refusedWriter();
    const pushes: Promise<void>[] = [];
    for (let offsetBytes = 0; offsetBytes < 40 * BLOCK_BYTES; offsetBytes += BLOCK_BYTES) {
      const slab = slabs.tryAcquire(BLOCK_BYTES);
      assert.ok(slab !== null);
      const { bytes } = slab;
      const pushed = writer.push({ offsetBytes, bytes, hashes: hashBlocks(hasher, bytes), slab });
      pushed.catch(() => {}); // Asserted below.
      pushes.push(pushed);
      await Promise.resolve(); // The failure arrives between two pushes.
    }
    await assert.rejects(Promise.all(pushes), hasCode("NOT_FOUND"));
    assert.equal(slabs.acquiredBytes, 0);
  });
});
