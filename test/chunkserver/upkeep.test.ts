import assert from "node:assert/strict";
import { readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { reportCorruptChunk } from "../../shared/protocol/chunk-api.ts";
import type { Connection } from "../../shared/wire/rpc.ts";
import { hasCode } from "../support/wire-fixture.ts";
import { readRange, STREAM_OPTIONS, TestWrite, writeWhole } from "./support/chunk-client.ts";
import { framesOf, logIndex, makeChunk, type TestChunk, writeIdFor } from "./support/chunks.ts";
import { eventually, TestCluster, type TestServer } from "./support/real-cluster.ts";

const MIB = 1024 * 1024;

let writeCount = 1000;

/** Stores a chunk on one server. */
async function store(
  cluster: TestCluster,
  server: TestServer,
  chunk: TestChunk,
  options: { readonly intentIndex?: number; readonly lifetimeMs?: number } = {},
): Promise<void> {
  const { intentIndex = 10, lifetimeMs = 60_000 } = options;
  const intent = cluster.master.intent([server.location], intentIndex, { lifetimeMs });
  const connection = await cluster.connect(server.location.address);
  writeCount += 1;
  await writeWhole(connection, chunk, { writeId: writeIdFor(writeCount), intent });
}

async function holds(cluster: TestCluster, server: TestServer, chunk: TestChunk): Promise<boolean> {
  return serves(await cluster.connect(server.location.address), chunk);
}

/** Returns whether the server of a connection has the chunk. */
async function serves(connection: Connection, chunk: TestChunk): Promise<boolean> {
  const range = { chunkId: chunk.chunkId, offsetBytes: 0, lengthBytes: chunk.bytes.length };
  try {
    const read = await readRange(connection, range);
    return Buffer.from(read.bytes).equals(chunk.bytes);
  } catch (error) {
    assert.ok(hasCode("CHUNK_NOT_FOUND")(error));
    return false;
  }
}

/** Flips a bit in every extent file of a server, at the same offset. */
async function rot(server: TestServer, offset: number): Promise<void> {
  for (const name of await readdir(`${server.directory}/extents`)) {
    const path = `${server.directory}/extents/${name}`;
    const bytes = await readFile(path);
    bytes[offset] = (bytes[offset] ?? 0) ^ 1;
    await writeFile(path, bytes);
  }
}

function copyOrder(chunk: TestChunk, sources: readonly TestServer[], intentIndex = 20) {
  return {
    kind: "copy" as const,
    chunkId: chunk.chunkId,
    lengthBytes: chunk.bytes.length,
    sources: sources.map(({ location }) => location),
    intentIndex: logIndex(intentIndex),
  };
}

describe("orders of the master", () => {
  it("copies a chunk from the first good source, and reports the corruption of another", async () => {
    await using cluster = await TestCluster.start();
    const [corrupt, gone, good, target] = await Promise.all(
      [1, 2, 3, 4].map(() => cluster.startServer()),
    );
    assert.ok(corrupt && gone && good && target);
    const chunk = makeChunk(4 * MIB + 99, 1);
    await store(cluster, corrupt, chunk);
    await store(cluster, good, chunk);
    await rot(corrupt, 3 * MIB);
    await gone.stop();
    const { serverId } = target.server;
    cluster.master.order(serverId, copyOrder(chunk, [gone, corrupt, good]));
    await eventually("the copy is reported", () => {
      return cluster.master.reported("copied", serverId).length > 0;
    });
    assert.deepEqual(cluster.master.reported("copied", serverId)[0], {
      chunkId: chunk.chunkId,
      intentIndex: 20,
    });
    assert.ok(await holds(cluster, target, chunk));
    await eventually("the corruption is reported", () => {
      return cluster.master.reported("lost", corrupt.server.serverId).length > 0;
    });
    assert.equal(await holds(cluster, corrupt, chunk), false);
    assert.equal((await readdir(`${corrupt.directory}/quarantine`)).length, 1);
  });

  it("reports a failed copy with the source if no source has the chunk", async () => {
    await using cluster = await TestCluster.start();
    const [empty, target] = await Promise.all([1, 2].map(() => cluster.startServer()));
    assert.ok(empty && target);
    const chunk = makeChunk(MIB, 1);
    const { serverId } = target.server;
    cluster.master.order(serverId, copyOrder(chunk, [empty]));
    await eventually("the failure is reported", () => {
      return cluster.master.reported("copyFailed", serverId).length > 0;
    });
    const [failure] = cluster.master.reported("copyFailed", serverId);
    assert.match(failure?.reason ?? "", new RegExp(empty.location.address));
    assert.deepEqual(cluster.master.reported("copied", serverId), []);
  });

  it("purges replicas of older intents only, and reports both orders as done", async () => {
    await using cluster = await TestCluster.start();
    const server = await cluster.startServer();
    const { serverId } = server.server;
    const [old, recent] = [makeChunk(5000, 1), makeChunk(2 * MIB, 2)];
    await store(cluster, server, old, { intentIndex: 5 });
    await store(cluster, server, recent, { intentIndex: 15 });
    for (const { chunkId } of [old, recent]) {
      cluster.master.order(serverId, { kind: "purge", chunkId, purgeIndex: logIndex(10) });
    }
    await eventually("both are reported", () => {
      const purged = cluster.master.reported("purged", serverId).map(({ chunkId }) => chunkId);
      return purged.includes(old.chunkId) && purged.includes(recent.chunkId);
    });
    assert.equal(await holds(cluster, server, old), false);
    assert.equal(await holds(cluster, server, recent), true);
  });
});

describe("background tasks of a chunkserver", () => {
  it("ask about chunks after their intent, and delete those that the master does not know", async () => {
    await using cluster = await TestCluster.start();
    const server = await cluster.startServer();
    const [known, unknown] = [makeChunk(5000, 1), makeChunk(5000, 2)];
    cluster.master.verdict = (chunkId) => (chunkId === known.chunkId ? "known" : "unknown");
    await store(cluster, server, known, { lifetimeMs: 0 });
    await store(cluster, server, unknown, { lifetimeMs: 0 });
    // One connection for all polls: the confirmation takes 5 seconds.
    const connection = await cluster.connect(server.location.address);
    await eventually(
      "the unknown chunk is deleted",
      async () => !(await serves(connection, unknown)),
    );
    assert.ok(await holds(cluster, server, known));
  });

  it("find corruption by the scrub, and report it", async () => {
    await using cluster = await TestCluster.start();
    const first = await cluster.startServer();
    const [corrupt, intact] = [makeChunk(2 * MIB, 1), makeChunk(2 * MIB + 5, 2)];
    await store(cluster, first, corrupt);
    await first.stop();
    await rot(first, 100_000);
    const scrubBytesPerSecond = 512 * MIB;
    const again = await cluster.startServer({
      directory: first.directory,
      config: { scrubBytesPerSecond },
    });
    assert.equal(again.server.serverId, first.server.serverId);
    await store(cluster, again, intact);
    const { serverId } = again.server;
    await eventually("the loss is reported", () => {
      return cluster.master.reported("lost", serverId).length > 0;
    });
    assert.equal(cluster.master.reported("lost", serverId)[0]?.chunkId, corrupt.chunkId);
    assert.equal(await holds(cluster, again, corrupt), false);
    assert.ok(await holds(cluster, again, intact));
  });

  it("find a short extent file at the start", async () => {
    await using cluster = await TestCluster.start();
    const first = await cluster.startServer();
    const chunk = makeChunk(3 * MIB, 1);
    await store(cluster, first, chunk);
    await first.stop();
    const [name] = await readdir(`${first.directory}/extents`);
    await truncate(`${first.directory}/extents/${name}`, MIB);
    const again = await cluster.startServer({
      directory: first.directory,
      config: { scrubBytesPerSecond: 1 },
    });
    const { serverId } = again.server;
    await eventually("the loss is reported", () => {
      return cluster.master.reported("lost", serverId).length > 0;
    });
  });

  it("verify a replica that a reader reports as corrupt", async () => {
    await using cluster = await TestCluster.start();
    const server = await cluster.startServer();
    const chunk = makeChunk(2 * MIB, 1);
    await store(cluster, server, chunk);
    const connection = await cluster.connect(server.location.address);
    const { chunkId } = chunk;
    const ask = async (): Promise<boolean> => {
      const reply = await connection.call(reportCorruptChunk, { chunkId }, STREAM_OPTIONS);
      reply.release();
      return reply.head.isRotten;
    };
    assert.equal(await ask(), false, "the report of a reader is not trusted");
    assert.ok(await holds(cluster, server, chunk));
    await rot(server, MIB + 1);
    assert.equal(await ask(), true);
    assert.equal(await holds(cluster, server, chunk), false);
  });

  it("notify the leader of a stop; after a restart the chunks are served", async () => {
    await using cluster = await TestCluster.start();
    const first = await cluster.startServer();
    const chunk = makeChunk(2 * MIB, 1);
    await store(cluster, first, chunk);
    await first.stop();
    assert.deepEqual(cluster.master.goodbyes, [first.server.serverId]);
    const again = await cluster.startServer({ directory: first.directory });
    assert.ok(await holds(cluster, again, chunk));
  });

  it("register again with a leader that does not know the server", async () => {
    await using cluster = await TestCluster.start();
    const server = await cluster.startServer();
    cluster.master.forget(server.server.serverId);
    await eventually("it registers again", () => {
      return cluster.master.servers.has(server.server.serverId);
    });
  });

  it("keep a partial chunk for the lifetime of its intent after its writer is gone", async () => {
    await using cluster = await TestCluster.start();
    const server = await cluster.startServer();
    const intent = cluster.master.intent([server.location], 10);
    const chunk = makeChunk(2 * MIB, 1);
    const connection = await cluster.connect(server.location.address);
    const write = new TestWrite(connection, { writeId: writeIdFor(1), intent });
    await write.opened();
    await write.send(chunk, 0, MIB);
    await write.acked(MIB);
    await connection.close(0);
    const next = await cluster.connect(server.location.address);
    const resumed = new TestWrite(next, { writeId: writeIdFor(1), intent, resumeAtBytes: MIB });
    await resumed.opened();
    for (const { offsetBytes, hashes, bytes } of framesOf(chunk, MIB)) {
      await resumed.stream.send({ kind: "blocks", offsetBytes, hashes }, bytes);
    }
    await resumed.seal(chunk);
    assert.ok(await holds(cluster, server, chunk));
  });
});

describe("the HTTP server of a chunkserver", () => {
  it("answers health, readiness and counts", async () => {
    await using cluster = await TestCluster.start();
    const server = await cluster.startServer({ config: { http: "127.0.0.1:0" } });
    await store(cluster, server, makeChunk(5000, 1));
    const base = `http://${server.server.httpAddress}`;
    assert.equal((await fetch(`${base}/healthz`)).status, 200);
    assert.equal((await fetch(`${base}/readyz`)).status, 200);
    assert.equal((await fetch(`${base}/metrics`)).status, 200);
    const counts = (await (await fetch(`${base}/chunks`)).json()) as Record<string, unknown>;
    assert.equal(counts["chunkCount"], 1);
    assert.equal(counts["chunkBytes"], 5000);
    assert.equal(counts["serverId"], server.server.serverId);
    assert.equal(counts["diskFailure"], null);
  });
});
