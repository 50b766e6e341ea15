import assert from "node:assert/strict";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { NextHop } from "../../chunkserver/pipeline/next-hop.ts";
import type { Digest, LogIndex } from "../../shared/base/ids.ts";
import { writeChunk } from "../../shared/protocol/chunk-api.ts";
import { ConnectionPool } from "../../shared/wire/connection-pool.ts";
import { memoryFixture, SERVER, withPair } from "../support/wire-fixture.ts";
import { TestWrite } from "./support/chunk-client.ts";
import { framesOf, makeChunk, serverIdFor, writeIdFor } from "./support/chunks.ts";
import { TestCluster } from "./support/real-cluster.ts";

const MIB = 1024 * 1024;

/** Changes a byte of a file, as another process would. */
async function flipByte(path: string, offsetBytes: number): Promise<void> {
  const file = await open(path, "r+");
  const byte = new Uint8Array(1);
  await file.read(byte, 0, 1, offsetBytes);
  byte[0] = (byte[0] ?? 0) ^ 1;
  await file.write(byte, 0, 1, offsetBytes);
  await file.close();
}

describe("a corrupt block in a write chain", () => {
  it("is blamed on the server that sent it, and not on the one that detects it", async () => {
    await using cluster = await TestCluster.start();
    const [sender, detector] = [await cluster.startServer(), await cluster.startServer()];
    const intent = cluster.master.intent([sender.location, detector.location], 10);
    const connection = await cluster.connect(detector.location.address);
    // The test sends what the first server of the chain would forward.
    const write = new TestWrite(connection, { writeId: writeIdFor(1), intent, position: 1 });
    await write.opened();
    const [frame] = framesOf(makeChunk(2 * MIB, 1));
    assert.ok(frame !== undefined);
    const bytes = frame.bytes.slice();
    bytes[500_000] = (bytes[500_000] ?? 0) ^ 1;
    await write.stream.send({ kind: "blocks", offsetBytes: 0, hashes: frame.hashes }, bytes);
    const { serverId, error } = await write.failed();
    assert.deepEqual([serverId, error.code], [sender.server.serverId, "CHUNK_CORRUPT"]);
    assert.match(error.message, new RegExp(`block 7 from server ${serverId}`));
  });

  it("that a server copies from another one is blamed on the source", async () => {
    await using cluster = await TestCluster.start();
    const [source, joining] = [await cluster.startServer(), await cluster.startServer()];
    const chunk = makeChunk(3 * MIB, 1);
    const alone = cluster.master.intent([source.location], 10);
    const first = await cluster.connect(source.location.address);
    const begun = new TestWrite(first, { writeId: writeIdFor(1), intent: alone });
    await begun.opened();
    await begun.send(chunk, 0, 2 * MIB);
    await begun.acked(2 * MIB);
    const extents = join(source.directory, "extents");
    const [name = ""] = await readdir(extents);
    await flipByte(join(extents, name), 700_000);
    const intent = cluster.master.intent([source.location, joining.location], 11);
    const second = await cluster.connect(joining.location.address);
    const fillFrom = source.location.address;
    const resumed = { writeId: writeIdFor(1), intent, position: 1, fillFrom };
    const write = new TestWrite(second, { ...resumed, resumeAtBytes: 2 * MIB });
    const { serverId, error } = await write.failed();
    assert.deepEqual([serverId, error.code], [source.server.serverId, "CHUNK_CORRUPT"]);
  });
});

describe("a seal that takes long on the next server", () => {
  /** Resolves with the time of the seal, or with the error, if the next server answers after `sealMs`. */
  async function seal(sealMs: number, position: number): Promise<string> {
    const fixture = memoryFixture();
    const { clock } = fixture;
    let result = "";
    const register = (server: Parameters<Parameters<typeof withPair>[1]["register"]>[0]) =>
      server.onStream(writeChunk, async (request, stream) => {
        request.release();
        await stream.send({ kind: "opened" });
        (await stream.receive())?.release();
        await clock.sleep(sealMs);
        await stream.send({ kind: "sealed", receipts: [] });
      });
    await withPair(fixture, { register }, async ({ address }) => {
      const location = { address, host: "h", rack: "r" };
      const servers = [0, 1, 2].map((number) => ({ ...location, serverId: serverIdFor(number) }));
      const intent = {
        ...{ servers, issuedIndex: 1 as LogIndex, lifetimeMs: 60_000 },
        signature: new Uint8Array(32) as Digest,
      };
      const request = {
        ...{ writeId: writeIdFor(1), intent, position, sizeHintBytes: null },
        ...{ resumeAtBytes: 0, fillFrom: null, waits: true },
      };
      const pool = new ConnectionPool(fixture.client, {
        identity: () => SERVER,
        role: "chunkserver",
      });
      const next = new NextHop({ pool, clock }, request, { onAck: () => {}, onWaiting: () => {} });
      next.broken.catch(() => {});
      const signal = new AbortController().signal;
      await fixture.settle(next.open(pool, request, { timeoutMs: 300_000, signal }));
      const { chunkId } = makeChunk(100, 1);
      const sealed = next.seal({ kind: "seal", chunkId, lengthBytes: 100 });
      result = await fixture.settle(
        sealed.then(
          () => "sealed",
          (error: Error) => error.message,
        ),
      );
      await fixture.settle(next.close());
      await fixture.settle(pool[Symbol.asyncDispose]());
    });
    return result;
  }

  it("does not break the chain before the time that the writer allows", async () => {
    assert.equal(await seal(35_000, 1), "sealed");
    assert.equal(await seal(35_000, 2), "sealed");
  });

  it("breaks the chain at the last server first, and before the writer ends the write", async () => {
    const [first, last] = [await seal(100_000, 1), await seal(100_000, 2)];
    const timeoutMs = (message: string) => Number(/for (\d+) ms/.exec(message)?.[1]);
    assert.match(first, new RegExp(`server ${serverIdFor(1)}`));
    assert.ok(timeoutMs(last) < timeoutMs(first) && timeoutMs(first) < 60_000, `${first}; ${last}`);
  });
});
