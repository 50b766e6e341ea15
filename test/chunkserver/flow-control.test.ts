import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SystemClock } from "../../shared/platform/system-clock.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import { readChunk, type WriteDown, writeChunk } from "../../shared/protocol/chunk-api.ts";
import type { Intent } from "../../shared/protocol/intent.ts";
import { CLIENT } from "../support/wire-fixture.ts";
import { readRange, STREAM_OPTIONS, TestWrite, writeWhole } from "./support/chunk-client.ts";
import { framesOf, makeChunk, type TestChunk, writeIdFor } from "./support/chunks.ts";
import { eventually, TestCluster, type TestServer } from "./support/real-cluster.ts";
import { slowWrites } from "./support/slow-disk.ts";

const MIB = 1024 * 1024;
const clock = new SystemClock();

/** Writes a chunk as a client that waits for memory. @returns the last message of the chain */
async function writeWaiting(
  cluster: TestCluster,
  write: { readonly number: number; readonly intent: Intent; readonly chunk: TestChunk },
): Promise<{ readonly last: WriteDown | null; readonly waitingCount: number }> {
  const { number, intent, chunk } = write;
  const connection = await cluster.connect(intent.servers[0]?.address ?? "");
  const open = {
    ...{ writeId: writeIdFor(number), intent, position: 0, sizeHintBytes: null },
    ...{ resumeAtBytes: 0, fillFrom: null, waits: true },
  };
  const stream = connection.open(writeChunk, open, STREAM_OPTIONS);
  let waitingCount = 0;
  for (;;) {
    const message = await stream.receive();
    message?.release();
    if (message === null) return { last: null, waitingCount };
    const { head } = message;
    if (head.kind === "waiting") waitingCount += 1;
    if (head.kind === "failed" || head.kind === "sealed") return { last: head, waitingCount };
    if (head.kind === "opened") {
      const frames = framesOf(chunk, 0);
      const send = async (): Promise<void> => {
        for (const { offsetBytes, hashes, bytes } of frames) {
          await stream.send({ kind: "blocks", offsetBytes, hashes }, bytes);
        }
        const lengthBytes = chunk.bytes.length;
        await stream.send({ kind: "seal", chunkId: chunk.chunkId, lengthBytes });
      };
      send().catch(() => {}); // The chain reports the reason.
    }
  }
}

function intentOver(
  cluster: TestCluster,
  servers: readonly TestServer[],
  order: readonly number[],
) {
  return cluster.master.intent(
    order.map((position) => (servers[position] as TestServer).location),
    10,
  );
}

describe("writes over chains in all orders", () => {
  it("do not wait for one another in a circle, with slow disks and more writes than fit", async () => {
    await using cluster = await TestCluster.start();
    const servers: TestServer[] = [];
    const config = { writeBytesInFlightMax: 84 * MIB };
    for (let count = 0; count < 3; count += 1) {
      const wrapDisk = (disk: Disk): Disk => slowWrites(disk, () => 10);
      servers.push(await cluster.startServer({ wrapDisk, config }));
    }
    const orders = [
      [0, 1, 2],
      [1, 2, 0],
      [2, 0, 1],
    ];
    const chunk = makeChunk(9 * MIB, 1);
    const results = await Promise.all(
      Array.from({ length: 30 }, (_, number) => {
        const order = orders[number % orders.length] ?? [];
        return writeWaiting(cluster, {
          number,
          intent: intentOver(cluster, servers, order),
          chunk,
        });
      }),
    );
    for (const { last } of results) assert.equal(last?.kind, "sealed", JSON.stringify(last));
    const waited = results.filter(({ waitingCount }) => waitingCount > 0);
    assert.ok(waited.length > 0, "some writes waited for memory");
  });
});

describe("a connection between two servers", () => {
  it("has all its credit back after writers that died", async () => {
    await using cluster = await TestCluster.start();
    let delayMs = 0;
    const head = await cluster.startServer();
    const tail = await cluster.startServer({ wrapDisk: (disk) => slowWrites(disk, () => delayMs) });
    const intent = cluster.master.intent([head.location, tail.location], 10);
    const chunk = makeChunk(8 * MIB, 1);
    for (let number = 1; number <= 14; number += 1) {
      delayMs = 100;
      const connection = await cluster.connect(head.location.address);
      const write = new TestWrite(connection, { writeId: writeIdFor(number), intent });
      await write.opened();
      write.send(chunk).catch(() => {}); // The writer dies.
      await clock.sleep(60);
      await connection.close(0);
    }
    delayMs = 0;
    const connection = await cluster.connect(head.location.address);
    const last = makeChunk(3 * MIB, 2);
    const receipts = await writeWhole(connection, last, { writeId: writeIdFor(100), intent });
    assert.equal(receipts.length, 2);
  });
});

describe("idle writers", () => {
  it("do not lock out others, and can continue where they stopped", async () => {
    await using cluster = await TestCluster.start();
    const server = await cluster.startServer({ config: { writeBytesInFlightMax: 4 * MIB } });
    const intent = cluster.master.intent([server.location], 10);
    const connection = await cluster.connect(server.location.address);
    const chunk = makeChunk(3 * MIB, 1);
    // There is memory for nine writes at least.
    const idle = Array.from(
      { length: 9 },
      (_, number) => new TestWrite(connection, { writeId: writeIdFor(number), intent }),
    );
    for (const write of idle) {
      await write.opened();
      await write.send(chunk, 0, 2 * MIB);
      await write.acked(2 * MIB);
    }
    const { last } = await writeWaiting(cluster, {
      number: 100,
      intent,
      chunk: makeChunk(9 * MIB, 2),
    });
    assert.equal(last?.kind, "sealed", JSON.stringify(last));
    const [first] = idle;
    assert.equal((await first?.failed())?.error.code, "OVERLOADED");
    const resumed = new TestWrite(connection, {
      ...{ writeId: writeIdFor(0), intent, resumeAtBytes: 2 * MIB },
    });
    await resumed.opened();
    await resumed.send(chunk, 2 * MIB);
    assert.equal((await resumed.seal(chunk)).length, 1);
    await eventually("the others have ended", () => server.server.ready().ready);
  });
});

describe("readers that do not receive", () => {
  it("do not stop the reads of others, large or small, nor the reads for a repair", async () => {
    await using cluster = await TestCluster.start();
    const server = await cluster.startServer();
    const intent = cluster.master.intent([server.location], 10);
    const { address } = server.location;
    const large = makeChunk(16 * MIB, 1);
    const writer = await cluster.connect(address);
    await writeWhole(writer, large, { writeId: writeIdFor(1), intent });
    const { chunkId } = large;
    // They answer pings and take no message.
    for (let count = 0; count < 40; count += 1) {
      const reader = await cluster.connect(address, { own: true });
      const range = { chunkId, offsetBytes: 0, lengthBytes: 16 * MIB, withManifest: true };
      // Longer than the other reads may take.
      reader.open(readChunk, range, { timeoutMs: 600_000 });
    }
    await clock.sleep(300);
    const identities = [CLIENT, { ...CLIENT, role: "chunkserver" as const }];
    for (const identity of identities) {
      const other = await cluster.connect(address, { own: true, identity });
      for (const lengthBytes of [64 * 1024, 12 * MIB]) {
        const { bytes } = await readRange(other, { chunkId, offsetBytes: 0, lengthBytes });
        assert.equal(bytes.length, lengthBytes);
      }
    }
  });
});
