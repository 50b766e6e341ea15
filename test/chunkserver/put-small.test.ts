import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AshlarError } from "../../shared/base/errors.ts";
import { DIGEST_BYTES } from "../../shared/base/ids.ts";
import { SystemClock } from "../../shared/platform/system-clock.ts";
import { TcpNetwork } from "../../shared/platform/tcp-network.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import { type PutSmallResponse, putSmall } from "../../shared/protocol/chunk-api.ts";
import { type Intent, isReceiptFor, type ServerLocation } from "../../shared/protocol/intent.ts";
import { RpcServer } from "../../shared/wire/rpc-server.ts";
import { hasCode, makeWireDeps, SERVER } from "../support/wire-fixture.ts";
import { readRange } from "./support/chunk-client.ts";
import { hasher, makeChunk, serverIdFor, type TestChunk } from "./support/chunks.ts";
import { CHUNK_KEY } from "./support/fake-master.ts";
import { bodyOf, sendGroup } from "./support/groups.ts";
import { TestCluster, type TestServer } from "./support/real-cluster.ts";
import { slowWrites } from "./support/slow-disk.ts";

const MIB = 1024 * 1024;
const clock = new SystemClock();
const CHUNKS = [5_000, 1, 65_536, 200_001].map((lengthBytes, seed) => makeChunk(lengthBytes, seed));

async function startServers(
  cluster: TestCluster,
  count: number,
  options: Parameters<TestCluster["startServer"]>[0] = {},
): Promise<TestServer[]> {
  const servers: TestServer[] = [];
  for (let number = 0; number < count; number += 1)
    servers.push(await cluster.startServer(options));
  return servers;
}

function intentOver(cluster: TestCluster, servers: readonly TestServer[]): Intent {
  return cluster.master.intent(
    servers.map(({ location }) => location),
    10,
  );
}

/** Checks that each chunk has a valid receipt of each server, in the order of the chain. */
function assertReceipts(
  answer: PutSmallResponse,
  chunks: readonly TestChunk[],
  servers: readonly TestServer[],
): void {
  assert.ok(answer.kind === "stored", JSON.stringify(answer));
  assert.equal(answer.receipts.length, chunks.length);
  for (const [number, { chunkId, bytes }] of chunks.entries()) {
    const receipts: Uint8Array = answer.receipts[number] ?? new Uint8Array();
    assert.equal(receipts.length, servers.length * DIGEST_BYTES);
    for (const [position, { server }] of servers.entries()) {
      const own = receipts.subarray(position * DIGEST_BYTES, (position + 1) * DIGEST_BYTES);
      const { serverId } = server;
      const sealed = { serverId, chunkId, lengthBytes: bytes.length, intentIndex: 10 as never };
      assert.ok(isReceiptFor(hasher, CHUNK_KEY, sealed, own), `chunk ${number}, ${position}`);
    }
  }
}

async function assertRead(
  cluster: TestCluster,
  { location }: TestServer,
  chunks: readonly TestChunk[],
): Promise<void> {
  const connection = await cluster.connect(location.address);
  for (const { chunkId, bytes } of chunks) {
    const range = { chunkId, offsetBytes: 0, lengthBytes: bytes.length };
    assert.ok(Buffer.from((await readRange(connection, range)).bytes).equals(bytes));
  }
}

function failureOf(answer: PutSmallResponse): { readonly serverId: string; readonly code: string } {
  assert.ok(answer.kind === "failed", JSON.stringify(answer));
  return { serverId: answer.serverId, code: answer.error.code };
}

describe("chunk.put-small", () => {
  it("stores a group on every server of the chain, and answers with all receipts", async () => {
    await using cluster = await TestCluster.start();
    const servers = await startServers(cluster, 3);
    const connection = await cluster.connect(servers[0]?.location.address ?? "");
    const answer = await sendGroup(connection, CHUNKS, { intent: intentOver(cluster, servers) });
    assertReceipts(answer, CHUNKS, servers);
    for (const server of servers) await assertRead(cluster, server, CHUNKS);
    // The same group again: servers that have the chunks answer with receipts, too.
    const again = await sendGroup(connection, CHUNKS, { intent: intentOver(cluster, servers) });
    assertReceipts(again, CHUNKS, servers);
  });

  it("blames the server that sent corrupt bytes, or the first one if the writer did", async () => {
    await using cluster = await TestCluster.start();
    const servers = await startServers(cluster, 2);
    const intent = intentOver(cluster, servers);
    const body = bodyOf(CHUNKS);
    body[70_000] = (body[70_000] ?? 0) ^ 1;
    for (const position of [0, 1]) {
      // At position 1 the test sends what the first server would forward.
      const connection = await cluster.connect(servers[position]?.location.address ?? "");
      const failure = failureOf(await sendGroup(connection, CHUNKS, { intent, position, body }));
      const serverId = servers[0]?.server.serverId;
      assert.deepEqual(failure, { serverId, code: "CHUNK_CORRUPT" });
    }
    const connection = await cluster.connect(servers[0]?.location.address ?? "");
    const [first, ...others] = CHUNKS as [TestChunk, ...TestChunk[]];
    const renamed = [{ ...first, chunkId: makeChunk(5_000, 77).chunkId }, ...others];
    const failure = failureOf(await sendGroup(connection, renamed, { intent }));
    assert.deepEqual(failure, { serverId: servers[0]?.server.serverId, code: "CHUNK_CORRUPT" });
  });

  it("names the server that failed, at the end of the chain and at its start", async () => {
    await using cluster = await TestCluster.start();
    const servers = await startServers(cluster, 2);
    const full = await cluster.startServer({ config: { reserveBytes: 1_000_000 * MIB } });
    const [head, middle] = servers.map(({ location }) => location) as [
      ServerLocation,
      ServerLocation,
    ];
    const gone = { ...full.location, address: "127.0.0.1:9", serverId: serverIdFor(9) };
    await using old = await FakeServer.start(7, null);
    // It has no copy, and passes the receipts of no server on.
    await using short = await FakeServer.start(8, { kind: "stored", receipts: [] });
    const cases = [
      { chain: [head, middle, gone], failed: gone, code: "UNAVAILABLE" },
      { chain: [head, middle, full.location], failed: full.location, code: "NO_SPACE" },
      { chain: [full.location, head, middle], failed: full.location, code: "NO_SPACE" },
      { chain: [head, middle, old.location], failed: old.location, code: "UNSUPPORTED" },
      { chain: [head, short.location, middle], failed: short.location, code: "PROTOCOL_ERROR" },
    ];
    for (const { chain, failed, code } of cases) {
      const connection = await cluster.connect(chain[0]?.address ?? "");
      const intent = cluster.master.intent(chain, 10);
      const failure = failureOf(await sendGroup(connection, CHUNKS, { intent }));
      assert.deepEqual(failure, { serverId: failed.serverId, code });
    }
  });

  it("refuses a group without an intent of the leader for this server and position", async () => {
    await using cluster = await TestCluster.start();
    const servers = await startServers(cluster, 2);
    const intent = intentOver(cluster, servers);
    const connection = await cluster.connect(servers[0]?.location.address ?? "");
    const forged = { ...intent, issuedIndex: 11 as never };
    const code = async (options: Parameters<typeof sendGroup>[2]) =>
      failureOf(await sendGroup(connection, CHUNKS, options)).code;
    assert.equal(await code({ intent: forged }), "PERMISSION_DENIED");
    assert.equal(await code({ intent, position: 1 }), "INVALID_ARGUMENT");
    assert.equal(await code({ intent, body: bodyOf(CHUNKS).subarray(1) }), "INVALID_ARGUMENT");
    const none = sendGroup(connection, [], { intent });
    await assert.rejects(none, hasCode("PROTOCOL_ERROR"));
  });

  it("ends with the deadline of the caller, and frees its memory", async () => {
    await using cluster = await TestCluster.start();
    let delayMs = 800;
    const wrapDisk = (disk: Disk): Disk => slowWrites(disk, () => delayMs);
    const servers = await startServers(cluster, 2, { wrapDisk });
    const connection = await cluster.connect(servers[0]?.location.address ?? "");
    const intent = intentOver(cluster, servers);
    const late = sendGroup(connection, CHUNKS, { intent, timeoutMs: 200 });
    await assert.rejects(late, hasCode("DEADLINE_EXCEEDED"));
    delayMs = 0;
    assertReceipts(await sendGroup(connection, CHUNKS, { intent }), CHUNKS, servers);
  });
});

/** A chunkserver with one answer to every group, or of a version that does not know the method. */
class FakeServer implements AsyncDisposable {
  readonly location: ServerLocation;
  readonly #rpc: RpcServer;

  private constructor(rpc: RpcServer, location: ServerLocation) {
    this.#rpc = rpc;
    this.location = location;
  }

  static async start(number: number, answer: PutSmallResponse | null): Promise<FakeServer> {
    const deps = makeWireDeps({ network: new TcpNetwork(), clock });
    const rpc = new RpcServer(deps, { identity: () => ({ ...SERVER, role: "chunkserver" }) });
    if (answer !== null) {
      rpc.onCall(putSmall, async (request) => {
        request.release();
        return answer;
      });
    }
    const address = await rpc.listen("127.0.0.1:0");
    return new FakeServer(rpc, { serverId: serverIdFor(number), address, host: "h", rack: "r" });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#rpc.close(100);
  }
}

describe("groups over chains in all orders", () => {
  it("do not wait for one another in a circle: slow disks, little memory, 64 callers", async () => {
    await using cluster = await TestCluster.start();
    const wrapDisk = (disk: Disk): Disk => slowWrites(disk, () => 10);
    // The smallest memory that the admission accepts.
    const config = { writeBytesInFlightMax: 4 * MIB };
    const servers = await startServers(cluster, 3, { wrapDisk, config });
    const chunks = [makeChunk(MIB / 2, 1), makeChunk(MIB / 2, 2)];
    const orders = [
      [0, 1, 2],
      [1, 2, 0],
      [2, 0, 1],
    ];
    const timeoutMs = 120_000;
    let refusedCount = 0;
    const put = async (number: number): Promise<void> => {
      const order = orders[number % orders.length] ?? [];
      const chain = order.map((position) => servers[position] as TestServer);
      const intent = intentOver(cluster, chain);
      const connection = await cluster.connect(chain[0]?.location.address ?? "", { own: true });
      for (;;) {
        const answer = await sendGroup(connection, chunks, { intent, timeoutMs }).catch(
          (error: unknown) => {
            assert.ok(error instanceof AshlarError && error.code === "OVERLOADED", String(error));
            return null;
          },
        );
        if (answer?.kind === "stored") return assertReceipts(answer, chunks, chain);
        // A server without memory refuses. It does not wait in the middle of a chain.
        if (answer !== null) assert.equal(failureOf(answer).code, "OVERLOADED");
        refusedCount += 1;
        await clock.sleep(20 + 10 * (number % 7));
      }
    };
    await Promise.all(Array.from({ length: 64 }, (_, number) => put(number)));
    for (const server of servers) await assertRead(cluster, server, chunks);
    assert.ok(refusedCount < 64 * 100, `${refusedCount} refusals`);
  });
});
