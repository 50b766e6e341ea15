import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isReceiptFor } from "../../shared/protocol/intent.ts";
import { readRange, writeWhole } from "./support/chunk-client.ts";
import { hasher, makeChunk, writeIdFor } from "./support/chunks.ts";
import { CHUNK_KEY } from "./support/fake-master.ts";
import { TestCluster } from "./support/real-cluster.ts";

const MIB = 1024 * 1024;

describe("a chain of three chunkservers (DESIGN, section 5)", () => {
  it("stores a chunk on each, with a receipt of each, and each serves it", async () => {
    await using cluster = await TestCluster.start();
    const servers = await Promise.all([1, 2, 3].map(() => cluster.startServer()));
    const intent = cluster.master.intent(
      servers.map(({ location }) => location),
      10,
    );
    const head = await cluster.connect(intent.servers[0]?.address ?? "");
    for (const [number, length] of [100, MIB, 5 * MIB + 12_345].entries()) {
      const chunk = makeChunk(length, number);
      const receipts = await writeWhole(head, chunk, { writeId: writeIdFor(number), intent });
      assert.deepEqual(
        receipts.map(({ serverId }) => serverId),
        intent.servers.map(({ serverId }) => serverId),
      );
      for (const { serverId, receipt } of receipts) {
        const { chunkId } = chunk;
        const sealed = { serverId, chunkId, lengthBytes: length, intentIndex: intent.issuedIndex };
        assert.ok(isReceiptFor(hasher, CHUNK_KEY, sealed, receipt));
      }
      for (const { address } of intent.servers) {
        const connection = await cluster.connect(address);
        const range = { chunkId: chunk.chunkId, offsetBytes: 0, lengthBytes: length };
        const read = await readRange(connection, { ...range, withManifest: true });
        assert.ok(Buffer.from(read.bytes).equals(chunk.bytes));
        assert.ok(Buffer.from(read.hashes).equals(chunk.hashes));
        assert.equal(read.chunkLengthBytes, length);
      }
    }
  });
});
