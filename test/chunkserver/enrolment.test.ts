import assert from "node:assert/strict";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { toHex } from "../../shared/base/bytes.ts";
import type { Digest, LogIndex } from "../../shared/base/ids.ts";
import { isReceiptFor } from "../../shared/protocol/intent.ts";
import { TestWrite, writeWhole } from "./support/chunk-client.ts";
import { hasher, makeChunk, writeIdFor } from "./support/chunks.ts";
import { CHUNK_KEY } from "./support/fake-master.ts";
import { eventually, TestCluster } from "./support/real-cluster.ts";

const CREDENTIAL = new Uint8Array(32).fill(0xab) as Digest;
const NEW_KEY = new Uint8Array(32).fill(0xcd);
const ROTATED = 20 as LogIndex;

const FIRST = { version: 1, fromIndex: 0 as LogIndex, key: CHUNK_KEY };
const SECOND = { version: 2, fromIndex: ROTATED, key: NEW_KEY };

describe("the credential of a chunkserver", () => {
  it("is stored durably for its owner only, proved at once, and proved after a restart", async () => {
    await using cluster = await TestCluster.start();
    const { master } = cluster;
    master.credential = CREDENTIAL;
    const server = await cluster.startServer({ config: { joinToken: "secret" } });
    assert.deepEqual(master.proofs, [
      { credential: null, token: "secret" },
      { credential: CREDENTIAL, token: "secret" },
    ]);
    const path = join(server.directory, "credential.json");
    assert.ok((await readFile(path, "utf8")).includes(toHex(CREDENTIAL)));
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    await server.stop();
    await cluster.startServer({ directory: server.directory });
    assert.deepEqual(master.proofs.slice(2), [{ credential: CREDENTIAL, token: null }]);
  });

  it("is fetched by a running server that the leader asks to enrol", async () => {
    await using cluster = await TestCluster.start();
    const { master } = cluster;
    await cluster.startServer();
    assert.deepEqual(master.proofs, [{ credential: null, token: null }]);
    master.credential = CREDENTIAL;
    master.mustEnrol = true;
    await eventually("the server has enrolled", () => master.proofs.length === 3);
    assert.deepEqual(master.proofs.at(-1), { credential: CREDENTIAL, token: null });
  });
});

describe("a chunkserver whose chunk key is rotated", () => {
  it("accepts intents of the new key before its next heartbeat, and old ones afterwards", async () => {
    await using cluster = await TestCluster.start();
    const { master } = cluster;
    master.chunkKeys = [FIRST];
    const { location } = await cluster.startServer();
    const connection = await cluster.connect(location.address);
    const oldIntent = master.intent([location], ROTATED - 1);
    const begun = new TestWrite(connection, { writeId: writeIdFor(1), intent: oldIntent });
    await begun.opened();

    master.chunkKeys = [FIRST, SECOND];
    const chunk = makeChunk(70_000, 2);
    const intent = master.intent([location], ROTATED, { key: NEW_KEY });
    const [receipt] = await writeWhole(connection, chunk, { writeId: writeIdFor(2), intent });
    const { serverId } = location;
    const facts = { serverId, chunkId: chunk.chunkId, lengthBytes: 70_000 };
    assert.ok(receipt !== undefined);
    const sealed = { ...facts, intentIndex: ROTATED };
    assert.ok(isReceiptFor(hasher, NEW_KEY, sealed, receipt.receipt));

    // The write that began before the rotation, and one whose intent was issued before it.
    const old = makeChunk(70_000, 1);
    await begun.send(old);
    await begun.acked(70_000);
    const [oldReceipt] = await begun.seal(old);
    assert.ok(oldReceipt !== undefined);
    const oldSealed = { ...sealed, chunkId: old.chunkId, intentIndex: (ROTATED - 1) as LogIndex };
    assert.ok(isReceiptFor(hasher, CHUNK_KEY, oldSealed, oldReceipt.receipt));
    const late = makeChunk(70_000, 3);
    await writeWhole(connection, late, { writeId: writeIdFor(3), intent: oldIntent });
  });

  it("refuses a new intent with the old key, and an old intent when its key is dropped", async () => {
    await using cluster = await TestCluster.start();
    const { master } = cluster;
    master.chunkKeys = [FIRST, SECOND];
    const { location } = await cluster.startServer();
    const connection = await cluster.connect(location.address);
    const refusalOf = async (number: number, intent: ReturnType<typeof master.intent>) => {
      const write = new TestWrite(connection, { writeId: writeIdFor(number), intent });
      return (await write.failed()).error.code;
    };
    assert.equal(await refusalOf(1, master.intent([location], ROTATED)), "PERMISSION_DENIED");
    master.chunkKeys = [SECOND];
    await eventually("the old key is dropped", () => {
      return master.heartbeats.at(-1)?.chunkKeyVersions?.join() === "2";
    });
    assert.equal(await refusalOf(2, master.intent([location], 10)), "PERMISSION_DENIED");
  });
});
