import assert from "node:assert/strict";
import { readdir, truncate } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { BLOCK_BYTES, type ChunkId } from "../../shared/base/ids.ts";
import { type BlocksRequest, readBlocks } from "../../shared/protocol/chunk-api.ts";
import type { Connection } from "../../shared/wire/rpc.ts";
import { hasCode } from "../support/wire-fixture.ts";
import { STREAM_OPTIONS, writeWhole } from "./support/chunk-client.ts";
import { makeChunk, type TestChunk, writeIdFor } from "./support/chunks.ts";
import { TestCluster, type TestServer } from "./support/real-cluster.ts";

const MIB = 1024 * 1024;

type Range = BlocksRequest["ranges"][number];

function rangeOf({ chunkId }: TestChunk, changes: Partial<Range> = {}): Range {
  return { chunkId, offsetBytes: 0, lengthBytes: 1, withManifest: false, ...changes };
}

/** Returns the results with the bytes of each range. */
async function read(connection: Connection, ranges: readonly Range[]) {
  const received = await connection.call(readBlocks, { ranges: [...ranges] }, STREAM_OPTIONS);
  let offset = 0;
  const results = received.head.results.map((result) => {
    const bytes = Buffer.from(received.body.subarray(offset, offset + result.lengthBytes));
    offset += result.lengthBytes;
    return { ...result, bytes };
  });
  assert.equal(offset, received.body.length);
  received.release();
  return results;
}

async function startWith(
  cluster: TestCluster,
  chunks: readonly TestChunk[],
): Promise<{ readonly server: TestServer; readonly connection: Connection }> {
  const server = await cluster.startServer();
  const connection = await cluster.connect(server.location.address);
  for (const [number, chunk] of chunks.entries()) {
    const intent = cluster.master.intent([server.location], 10);
    await writeWhole(connection, chunk, { writeId: writeIdFor(number), intent });
  }
  return { server, connection };
}

describe("blocks of several chunks in one call", () => {
  it("are the whole blocks around each range, up to the end of the chunk", async () => {
    await using cluster = await TestCluster.start();
    const [large, small] = [makeChunk(3 * MIB, 1), makeChunk(70_000, 2)];
    const { connection } = await startWith(cluster, [large, small]);
    const results = await read(connection, [
      rangeOf(large, { offsetBytes: BLOCK_BYTES + 5, lengthBytes: BLOCK_BYTES }),
      rangeOf(small, { offsetBytes: 66_000, withManifest: true }),
      rangeOf(small),
    ]);
    const [first, last, again] = results;
    assert.ok(first !== undefined && last !== undefined && again !== undefined);
    assert.equal(first.offsetBytes, BLOCK_BYTES);
    assert.ok(first.bytes.equals(large.bytes.subarray(BLOCK_BYTES, 3 * BLOCK_BYTES)));
    assert.equal(first.hashes.length, 0);
    assert.ok(last.bytes.equals(small.bytes.subarray(BLOCK_BYTES)));
    assert.ok(Buffer.from(last.hashes).equals(small.hashes));
    assert.equal(last.chunkLengthBytes, small.bytes.length);
    assert.ok(again.bytes.equals(small.bytes.subarray(0, BLOCK_BYTES)));
  });

  it("have an error for each range that cannot be read, and the others are whole", async () => {
    await using cluster = await TestCluster.start();
    const [good, short, other] = [
      makeChunk(200_000, 1),
      makeChunk(2 * MIB, 2),
      makeChunk(9_000, 3),
    ];
    const { server, connection } = await startWith(cluster, [good, short, other]);
    const extents = join(server.directory, "extents");
    const large = (await readdir(extents)).find((name) => name.startsWith("large-")) ?? "";
    await truncate(join(extents, large), MIB);
    const results = await read(connection, [
      rangeOf({ ...good, chunkId: "f".repeat(64) as ChunkId }),
      rangeOf(short, { offsetBytes: MIB, lengthBytes: BLOCK_BYTES }),
      rangeOf(good, { offsetBytes: 1, lengthBytes: 199_999 }),
      rangeOf(other, { offsetBytes: 9_000 }),
      rangeOf(other),
    ]);
    assert.deepEqual(
      results.map(({ error }) => error?.code ?? null),
      ["CHUNK_NOT_FOUND", "CHUNK_NOT_FOUND", null, "INVALID_ARGUMENT", null],
    );
    assert.ok(results[2]?.bytes.equals(good.bytes));
    assert.ok(results[4]?.bytes.equals(other.bytes));
  });

  it("are at most 1 MiB, with at most 256 KiB of manifests", async () => {
    await using cluster = await TestCluster.start();
    const chunk = makeChunk(64 * MIB, 1);
    const { server, connection } = await startWith(cluster, [chunk]);
    const half = rangeOf(chunk, { lengthBytes: MIB / 2 });
    assert.equal((await read(connection, [half, half])).length, 2);
    await assert.rejects(
      read(connection, [half, half, rangeOf(chunk)]),
      hasCode("INVALID_ARGUMENT"),
    );
    const withManifest = rangeOf(chunk, { withManifest: true });
    await assert.rejects(
      read(
        connection,
        Array.from({ length: 9 }, () => withManifest),
      ),
      hasCode("INVALID_ARGUMENT"),
    );
    assert.ok(server.server.ready().ready);
  });
});
