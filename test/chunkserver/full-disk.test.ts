import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdir } from "node:fs/promises";
import { describe, it } from "node:test";
import { TempDirectory } from "../support/temp-directory.ts";
import { readRange, TestWrite, writeWhole } from "./support/chunk-client.ts";
import { makeChunk, type TestChunk, writeIdFor } from "./support/chunks.ts";
import { eventually, TestCluster, type TestServer } from "./support/real-cluster.ts";

const MIB = 1024 * 1024;

/** A small file system that a test can fill. */
class SmallDisk implements AsyncDisposable {
  readonly path: string;
  readonly #directory: TempDirectory;

  private constructor(directory: TempDirectory) {
    this.#directory = directory;
    this.path = directory.path;
  }

  /** Mounts a tmpfs. Null if mounting is not permitted. */
  static async mount(sizeMib: number): Promise<SmallDisk | null> {
    const directory = await TempDirectory.make();
    const options = ["-t", "tmpfs", "-o", `size=${sizeMib}m`, "tmpfs", directory.path];
    if (spawnSync("mount", options).status === 0) return new SmallDisk(directory);
    await directory[Symbol.asyncDispose]();
    return null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    spawnSync("umount", [this.path]);
    await this.#directory[Symbol.asyncDispose]();
  }
}

async function fill(
  cluster: TestCluster,
  server: TestServer,
  chunkBytes: number,
): Promise<{ readonly stored: TestChunk[]; readonly code: string }> {
  const intent = cluster.master.intent([server.location], 10);
  const connection = await cluster.connect(server.location.address);
  const stored: TestChunk[] = [];
  for (let number = 1; number < 1000; number += 1) {
    const chunk = makeChunk(chunkBytes, number);
    const options = { writeId: writeIdFor(number), intent, sizeHintBytes: chunkBytes };
    const write = new TestWrite(connection, options);
    const answer = await write.next();
    if (answer?.kind === "failed") return { stored, code: answer.error.code };
    await write.send(chunk).catch(() => {});
    const { chunkId } = chunk;
    await write.stream.send({ kind: "seal", chunkId, lengthBytes: chunkBytes }).catch(() => {});
    const sealed = await write.next();
    if (sealed?.kind === "failed") return { stored, code: sealed.error.code };
    stored.push(chunk);
  }
  assert.fail("the disk did not fill up");
}

async function assertServesAll(
  cluster: TestCluster,
  server: TestServer,
  chunks: readonly TestChunk[],
): Promise<void> {
  const connection = await cluster.connect(server.location.address);
  for (const { chunkId, bytes } of chunks) {
    const range = { chunkId, offsetBytes: 0, lengthBytes: bytes.length };
    assert.ok(Buffer.from((await readRange(connection, range)).bytes).equals(bytes));
  }
}

describe("a full disk", () => {
  it("refuses new chunks at the reserve, serves reads, and accepts chunks after a purge", async (test) => {
    await using disk = await SmallDisk.mount(48);
    if (disk === null) {
      test.skip("mounting a tmpfs is not permitted here");
      return;
    }
    await using cluster = await TestCluster.start();
    const config = { reserveBytes: 16 * MIB };
    const server = await cluster.startServer({ directory: disk.path, config });
    const { stored, code } = await fill(cluster, server, 2 * MIB);
    assert.equal(code, "NO_SPACE");
    assert.ok(stored.length >= 10 && stored.length <= 16, `${stored.length} chunks of 2 MiB`);
    await assertServesAll(cluster, server, stored);
    const { serverId } = server.server;
    await eventually("the leader knows that there is no space", () => {
      const heartbeat = cluster.master.heartbeats.findLast((each) => each.serverId === serverId);
      return heartbeat !== undefined && heartbeat.space.availableBytes < 2 * MIB;
    });
    const [first] = stored;
    assert.ok(first !== undefined && server.server.ready().ready);
    const purge = { kind: "purge" as const, chunkId: first.chunkId, purgeIndex: 99 as never };
    cluster.master.order(serverId, purge);
    await eventually("the purge is reported", () => {
      return cluster.master.reported("purged", serverId).length > 0;
    });
    const connection = await cluster.connect(server.location.address);
    const intent = cluster.master.intent([server.location], 11);
    await eventually("another chunk is accepted", async () => {
      const options = { writeId: writeIdFor(5000), intent, sizeHintBytes: MIB };
      const write = new TestWrite(connection, options);
      const answer = await write.next();
      write.stream.end();
      return answer?.kind === "opened";
    });
  });

  it("fails a write that does not fit if there is no reserve, and keeps the sealed chunks", async (test) => {
    await using disk = await SmallDisk.mount(48);
    if (disk === null) {
      test.skip("mounting a tmpfs is not permitted here");
      return;
    }
    await using cluster = await TestCluster.start();
    const server = await cluster.startServer({ directory: disk.path });
    const { stored, code } = await fill(cluster, server, 3 * MIB);
    assert.equal(code, "NO_SPACE");
    await assertServesAll(cluster, server, stored);
    await server.stop();
    const restarted = await cluster.startServer({ directory: disk.path });
    await assertServesAll(cluster, restarted, stored);
    assert.ok((await readdir(`${disk.path}/extents`)).length <= stored.length);
  });
});

describe("a server with a full disk in a chain", () => {
  it("is reported to the writer, which continues with the other servers", async () => {
    await using cluster = await TestCluster.start();
    const [good, full] = await Promise.all([
      cluster.startServer(),
      cluster.startServer({ config: { reserveBytes: 2 ** 50 } }),
    ]);
    const connection = await cluster.connect(good.location.address);
    const chunk = makeChunk(MIB, 1);
    const broken = cluster.master.intent([good.location, full.location], 10);
    const write = new TestWrite(connection, { writeId: writeIdFor(1), intent: broken });
    assert.equal((await write.failed()).serverId, full.server.serverId);
    const intent = cluster.master.intent([good.location], 11);
    const receipts = await writeWhole(connection, chunk, { writeId: writeIdFor(1), intent });
    assert.equal(receipts.length, 1);
  });
});
