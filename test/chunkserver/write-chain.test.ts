import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { describe, it } from "node:test";
import type { Disk } from "../../shared/ports/disk.ts";
import { statPartial } from "../../shared/protocol/chunk-api.ts";
import { isReceiptFor, type ServerLocation } from "../../shared/protocol/intent.ts";
import { diskFailure } from "../support/mounted-file.ts";
import { hasCode } from "../support/wire-fixture.ts";
import { readRange, STREAM_OPTIONS, TestWrite, writeWhole } from "./support/chunk-client.ts";
import { framesOf, hasher, makeChunk, type TestChunk, writeIdFor } from "./support/chunks.ts";
import { CHUNK_KEY } from "./support/fake-master.ts";
import { eventually, TestCluster, type TestServer } from "./support/real-cluster.ts";

const MIB = 1024 * 1024;

function locations(servers: readonly TestServer[]): ServerLocation[] {
  return servers.map(({ location }) => location);
}

async function startServers(cluster: TestCluster, count: number): Promise<TestServer[]> {
  return Promise.all(Array.from({ length: count }, () => cluster.startServer()));
}

async function assertServes(
  cluster: TestCluster,
  address: string,
  chunk: TestChunk,
): Promise<void> {
  const connection = await cluster.connect(address);
  const range = { chunkId: chunk.chunkId, offsetBytes: 0, lengthBytes: chunk.bytes.length };
  const read = await readRange(connection, { ...range, withManifest: true });
  assert.ok(Buffer.from(read.bytes).equals(chunk.bytes));
  assert.ok(Buffer.from(read.hashes).equals(chunk.hashes));
  assert.equal(read.chunkLengthBytes, chunk.bytes.length);
}

/** Blocks writes until it is opened. Its disposal opens it. */
class Gate implements AsyncDisposable {
  #open: () => void = () => {};
  readonly opened = new Promise<void>((resolve) => {
    this.#open = resolve;
  });

  open(): void {
    this.#open();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.open();
  }
}

/** Returns a disk on which writes to extent files wait until the gate is opened. */
function blockedDisk(disk: Disk, gate: { readonly opened: Promise<void> }): Disk {
  return withWrites(disk, () => gate.opened);
}

/** Returns a disk on which each write to an extent file waits for `before`. */
function withWrites(disk: Disk, before: (offsetBytes: number) => Promise<void>): Disk {
  return new Proxy(disk, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key);
      if (key !== "open") return typeof value === "function" ? value.bind(target) : value;
      return async (...parameters: Parameters<Disk["open"]>) => {
        const file = await target.open(...parameters);
        const write: typeof file.write = async (parts, offsetBytes) => {
          await before(offsetBytes);
          await file.write(parts, offsetBytes);
        };
        return new Proxy(file, {
          get: (inner, name) => {
            if (name === "write") return write;
            const member: unknown = Reflect.get(inner, name);
            return typeof member === "function" ? member.bind(inner) : member;
          },
        });
      };
    },
  });
}

describe("a chain of three chunkservers", () => {
  it("stores a chunk on each server, returns the receipt of each, and serves it from each", async () => {
    await using cluster = await TestCluster.start();
    const intent = cluster.master.intent(locations(await startServers(cluster, 3)), 10);
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
      for (const { address } of intent.servers) await assertServes(cluster, address, chunk);
    }
  });

  it("serves only the whole blocks that cover a range", async () => {
    await using cluster = await TestCluster.start();
    const [server] = await startServers(cluster, 1);
    assert.ok(server !== undefined);
    const intent = cluster.master.intent([server.location], 10);
    const connection = await cluster.connect(server.location.address);
    const chunk = makeChunk(3 * MIB + 100, 1);
    await writeWhole(connection, chunk, { writeId: writeIdFor(1), intent });
    const { chunkId } = chunk;
    const read = await readRange(connection, { chunkId, offsetBytes: 70_000, lengthBytes: 10 });
    assert.deepEqual(read.offsets, [65_536]);
    assert.ok(Buffer.from(read.bytes).equals(chunk.bytes.subarray(65_536, 131_072)));
    assert.equal(read.hashes.length, 0);
    const end = await readRange(connection, {
      chunkId,
      offsetBytes: 3 * MIB,
      lengthBytes: 64 * MIB,
    });
    assert.ok(Buffer.from(end.bytes).equals(chunk.bytes.subarray(3 * MIB)));
    const beyond = { chunkId, offsetBytes: chunk.bytes.length, lengthBytes: 1 };
    await assert.rejects(readRange(connection, beyond), hasCode("INVALID_ARGUMENT"));
    const other = makeChunk(10, 2).chunkId;
    const unknown = { chunkId: other, offsetBytes: 0, lengthBytes: 1 };
    await assert.rejects(readRange(connection, unknown), hasCode("CHUNK_NOT_FOUND"));
  });

  it("refuses an intent without the leader's signature or with other servers", async () => {
    await using cluster = await TestCluster.start();
    const [first, second] = await startServers(cluster, 2);
    assert.ok(first !== undefined && second !== undefined);
    const good = cluster.master.intent([first.location, second.location], 10);
    const connection = await cluster.connect(first.location.address);
    const forged = { ...good, issuedIndex: 11 as typeof good.issuedIndex };
    const write = new TestWrite(connection, { writeId: writeIdFor(1), intent: forged });
    assert.equal((await write.failed()).error.code, "PERMISSION_DENIED");
    const reordered = cluster.master.intent([second.location, first.location], 10);
    const misplaced = new TestWrite(connection, { writeId: writeIdFor(2), intent: reordered });
    assert.equal((await misplaced.failed()).error.code, "INVALID_ARGUMENT");
  });

  it("reports a block that does not match its hash, and seals no chunk of a wrong id", async () => {
    await using cluster = await TestCluster.start();
    const servers = await startServers(cluster, 3);
    const intent = cluster.master.intent(locations(servers), 10);
    const head = await cluster.connect(intent.servers[0]?.address ?? "");
    const chunk = makeChunk(2 * MIB, 1);
    const corrupt = new TestWrite(head, { writeId: writeIdFor(1), intent });
    await corrupt.opened();
    const [frame] = framesOf(chunk);
    assert.ok(frame !== undefined);
    const bytes = frame.bytes.slice();
    bytes[500_000] = (bytes[500_000] ?? 0) ^ 1;
    const message = { kind: "blocks" as const, offsetBytes: 0, hashes: frame.hashes };
    await corrupt.stream.send(message, bytes);
    const failure = await corrupt.failed();
    assert.equal(failure.error.code, "CHUNK_CORRUPT");
    assert.equal(failure.serverId, intent.servers[0]?.serverId);

    const wrongId = new TestWrite(head, { writeId: writeIdFor(2), intent });
    await wrongId.opened();
    await wrongId.send(chunk);
    const { chunkId } = makeChunk(2 * MIB, 2);
    await wrongId.stream.send({ kind: "seal", chunkId, lengthBytes: 2 * MIB });
    assert.equal((await wrongId.failed()).error.code, "CHUNK_CORRUPT");
    const range = { chunkId, offsetBytes: 0, lengthBytes: 1 };
    await assert.rejects(readRange(head, range), hasCode("CHUNK_NOT_FOUND"));
  });
});

describe("a write chain that breaks", () => {
  for (const [role, brokenPosition] of [
    ["tail", 2],
    ["middle", 1],
  ] as const) {
    it(`names the broken ${role}, and resumes with a replacement from the received bytes`, async () => {
      await using cluster = await TestCluster.start();
      const servers = await startServers(cluster, 4);
      const [a, b, c, spare] = servers;
      assert.ok(a && b && c && spare);
      const chain = [a, b, c];
      const intent = cluster.master.intent(locations(chain), 10);
      const head = await cluster.connect(a.location.address);
      const chunk = makeChunk(6 * MIB + 777, 1);
      const write = new TestWrite(head, { writeId: writeIdFor(1), intent });
      await write.opened();
      await write.send(chunk, 0, 3 * MIB);
      await write.acked(3 * MIB);
      const broken = chain[brokenPosition];
      assert.ok(broken !== undefined);
      await broken.stop();
      const failure = await write.failed();
      assert.equal(failure.serverId, broken.server.serverId);

      const { head: stat } = await head.call(
        statPartial,
        { writeId: writeIdFor(1) },
        STREAM_OPTIONS,
      );
      assert.equal(stat.receivedBytes, 3 * MIB);
      const survivors = chain.filter((server) => server !== broken);
      const next = cluster.master.intent(locations([...survivors, spare]), 11);
      const resumed = new TestWrite(head, {
        writeId: writeIdFor(1),
        intent: next,
        resumeAtBytes: 2 * MIB,
        fillFrom: a.location.address,
      });
      await resumed.opened();
      await resumed.send(chunk, 2 * MIB);
      const receipts = await resumed.seal(chunk);
      assert.equal(receipts.length, 3);
      for (const { address } of next.servers) await assertServes(cluster, address, chunk);
    });
  }

  it("is resumed after a break during the seal, also on the servers that have sealed", async () => {
    await using cluster = await TestCluster.start();
    const [a, b, spare] = await startServers(cluster, 3);
    assert.ok(a && b && spare);
    const intent = cluster.master.intent(locations([a, b]), 10);
    const head = await cluster.connect(a.location.address);
    const chunk = makeChunk(3 * MIB, 1);
    const receipts = await writeWhole(head, chunk, { writeId: writeIdFor(1), intent });
    assert.equal(receipts.length, 2);
    await b.stop(); // The writer did not receive the seal, and replaces this server by `spare`.
    const next = cluster.master.intent(locations([a, spare]), 12);
    const resumed = new TestWrite(head, {
      writeId: writeIdFor(1),
      intent: next,
      resumeAtBytes: 3 * MIB,
      fillFrom: a.location.address,
    });
    await resumed.opened();
    assert.equal((await resumed.seal(chunk)).length, 2);
    await assertServes(cluster, spare.location.address, chunk);
  });

  it("names a server that is unreachable, and one whose disk is full", async () => {
    await using cluster = await TestCluster.start();
    const [a, gone] = await startServers(cluster, 2);
    assert.ok(a && gone);
    await gone.stop();
    const head = await cluster.connect(a.location.address);
    const unreachable = cluster.master.intent(locations([a, gone]), 10);
    const write = new TestWrite(head, { writeId: writeIdFor(1), intent: unreachable });
    const failure = await write.failed();
    assert.equal(failure.serverId, gone.server.serverId);

    const full = await cluster.startServer({ config: { reserveBytes: 2 ** 50 } });
    const intent = cluster.master.intent(locations([a, full]), 11);
    const refused = new TestWrite(head, { writeId: writeIdFor(2), intent });
    const refusal = await refused.failed();
    assert.equal(refusal.serverId, full.server.serverId);
    assert.equal(refusal.error.code, "NO_SPACE");
    assert.match(refusal.error.message, new RegExp(full.server.serverId));
  });
});

describe("a write chain with a slow tail", () => {
  it("slows the writer down to the tail, and buffers at most the windows", async () => {
    await using cluster = await TestCluster.start();
    const gate = new Gate();
    // The disposal opens the gate even after a failed assertion, so that the servers can close.
    await using _opened = gate;
    const fast = await startServers(cluster, 2);
    const slow = await cluster.startServer({ wrapDisk: (disk) => blockedDisk(disk, gate) });
    const intent = cluster.master.intent(locations([...fast, slow]), 10);
    const head = await cluster.connect(intent.servers[0]?.address ?? "");
    const chunk = makeChunk(24 * MIB, 1);
    const write = new TestWrite(head, { writeId: writeIdFor(1), intent });
    await write.opened();
    let sentBytes = 0;
    const sending = (async () => {
      for (const { offsetBytes, hashes, bytes } of framesOf(chunk)) {
        await write.stream.send({ kind: "blocks", offsetBytes, hashes }, bytes);
        sentBytes = offsetBytes + bytes.length;
      }
    })();
    sending.catch(() => {}); // Awaited below.
    // The first two servers receive as much as their windows allow. Then the chain is blocked.
    await eventually("the windows are full", () => sentBytes >= 4 * MIB);
    let before = -1;
    await eventually("the writer is blocked", async () => {
      const isBlocked = sentBytes === before;
      before = sentBytes;
      await new Promise((resolve) => setTimeout(resolve, 200));
      return isBlocked;
    });
    assert.ok(sentBytes <= 15 * MIB, `${sentBytes} bytes were sent into three windows of 4 MiB`);
    assert.equal(write.ackedBytes, 0, "only bytes written by the tail are acknowledged");
    gate.open();
    await sending;
    await write.seal(chunk);
    for (const { address } of intent.servers) await assertServes(cluster, address, chunk);
  });

  it("reports a failed disk of an earlier server to the writer without a delay", async () => {
    await using cluster = await TestCluster.start();
    const gate = new Gate();
    await using _opened = gate;
    const refuse = async (offsetBytes: number): Promise<void> => {
      if (offsetBytes >= 6 * MIB) throw diskFailure("EIO", "extents/large-000000000001");
    };
    const failing = await cluster.startServer({ wrapDisk: (disk) => withWrites(disk, refuse) });
    const slow = await cluster.startServer({ wrapDisk: (disk) => blockedDisk(disk, gate) });
    const intent = cluster.master.intent(locations([failing, slow]), 10);
    const head = await cluster.connect(failing.location.address);
    const write = new TestWrite(head, { writeId: writeIdFor(1), intent });
    await write.opened();
    const sending = write.send(makeChunk(12 * MIB, 1));
    sending.catch(() => {}); // The chain breaks during the send.
    const { serverId, error } = await write.failed();
    assert.deepEqual([serverId, error.code], [failing.server.serverId, "DISK_FAILED"]);
  });

  it("names the broken server while an earlier server is still being filled", async () => {
    await using cluster = await TestCluster.start();
    const filling = await cluster.startServer();
    const gone = await cluster.startServer();
    await gone.stop();
    const silent = createServer().listen(0, "127.0.0.1");
    await once(silent, "listening");
    const head = await cluster.connect(filling.location.address);
    const write = new TestWrite(head, {
      writeId: writeIdFor(1),
      intent: cluster.master.intent(locations([filling, gone]), 10),
      resumeAtBytes: MIB,
      fillFrom: `127.0.0.1:${(silent.address() as AddressInfo).port}`,
    });
    const { serverId } = await write.failed();
    assert.equal(serverId, gone.server.serverId);
    silent.close();
  });

  it("refuses a write above the limit of bytes in flight after 3 s, if its writer cannot wait", async () => {
    await using cluster = await TestCluster.start();
    const server = await cluster.startServer({ config: { writeBytesInFlightMax: 4 * MIB } });
    const intent = cluster.master.intent([server.location], 10);
    const connection = await cluster.connect(server.location.address);
    const open = (number: number): TestWrite =>
      new TestWrite(connection, { writeId: writeIdFor(number), intent });
    // There is memory for nine writes at least.
    const writes = Array.from({ length: 9 }, (_, number) => open(number));
    for (const write of writes) await write.opened();
    const { error } = await open(10).failed();
    assert.equal(error.code, "OVERLOADED");
    const [first] = writes;
    first?.stream.end();
    assert.equal(await first?.next(), null);
    await open(11).opened();
  });
});
