import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as v from "valibot";
import type { LogFields } from "../../../shared/ports/log.ts";
import { defineCall } from "../../../shared/protocol/method.ts";
import { ANY_ROLE } from "../../../shared/protocol/roles.ts";
import { connect } from "../../../shared/wire/connect.ts";
import { FRAME_KINDS } from "../../../shared/wire/frame.ts";
import { RpcServer } from "../../../shared/wire/rpc-server.ts";
import { frameBytesOf, RawPeer } from "../../support/raw-peer.ts";
import { usedHeapBytes } from "../../support/used-heap.ts";
import {
  CLIENT,
  type MemoryLog,
  memoryFixture,
  SERVER,
  tcpFixture,
  until,
  type WireFixture,
} from "../../support/wire-fixture.ts";

const MIB = 1024 * 1024;

const LARGE_BYTES = 100_000;

/** A call with a small request and an answer of LARGE_BYTES. */
const large = defineCall("test.large", ANY_ROLE, v.object({}), v.object({ text: v.string() }));

function register(server: RpcServer): void {
  server.onCall(large, async (request) => {
    request.release();
    return { text: "x".repeat(LARGE_BYTES) };
  });
}

/** Sends `count` calls of `large` on new streams, which the peer does not read. */
function callLarge(peer: RawPeer, count: number): void {
  peer.pause();
  for (let streamId = 1; streamId <= count; streamId += 1) {
    const head = [large.name, 600_000, {}];
    peer.send(frameBytesOf({ kind: FRAME_KINDS.request, streamId, head }));
  }
}

function closedFor(log: MemoryLog): readonly LogFields[] {
  const lines = log.lines.filter(({ message }) => message.includes("does not read its answers"));
  return lines.map(({ fields }) => fields);
}

describe("answers that are not read", () => {
  it("close the connections with most of them, and no other, once they take too much memory", async () => {
    const fixture = memoryFixture();
    const options = { identity: () => SERVER, answerBytesMax: 8 * MIB };
    const server = new RpcServer(fixture.server, options);
    register(server);
    const address = await server.listen(fixture.address);
    const opening = connect(fixture.client, address, { identity: CLIENT, timeoutMs: 5000 });
    const reader = await fixture.settle(opening);
    const peers: RawPeer[] = [];
    for (let peerCount = 1; peerCount <= 10; peerCount += 1) {
      const peer = await fixture.settle(RawPeer.connect(fixture.client.network, address));
      peers.push(peer);
      peer.hello({ identity: peerCount === 1 ? { ...CLIENT, role: "chunkserver" } : CLIENT });
      await fixture.clock.advance(10);
      // About 1 MiB of the answers is in the buffer of the link: 6 MiB wait for the chunkserver, and 1.9 to
      // 2.8 MiB for a client.
      callLarge(peer, peerCount === 1 ? 75 : 29 + peerCount);
      await fixture.clock.advance(100);
      (await fixture.settle(reader.call(large, {}, { timeoutMs: 1000 }))).release();
      // At most three peers of clients, the reader, and the chunkserver.
      assert.ok(server.connectionCount <= 5, `${server.connectionCount} connections`);
    }
    const closed = closedFor(fixture.server.log);
    assert.ok(closed.length >= 5, `${closed.length} connections were closed`);
    for (const { bytes } of closed) assert.ok(Number(bytes) > 1.9 * MIB, `${bytes}`);
    assert.ok(reader.isOpen, "a peer that reads its answers stays");
    await fixture.clock.advance(10);
    assert.equal(peers[0]?.isClosed, false, "clients close no connection of a chunkserver");
    for (const peer of peers) peer.destroy();
    await fixture.settle(reader.close(0));
    await fixture.settle(server.close(0));
  });

  it("take a bounded memory of a server with many peers, which returns", async () => {
    const fixture = tcpFixture();
    const options = { identity: () => SERVER, answerBytesMax: 64 * MIB };
    await using server = new RpcServer(fixture.server, options);
    register(server);
    const address = await server.listen(fixture.address);
    const connecting = { identity: CLIENT, timeoutMs: 5000 };
    const reader = await connect(fixture.client, address, connecting);
    const before = await bufferBytes(fixture);
    let most = 0;
    const peers: RawPeer[] = [];
    for (let peerCount = 1; peerCount <= 24; peerCount += 1) {
      const peer = await RawPeer.connect(fixture.client.network, address);
      peers.push(peer);
      peer.hello();
      callLarge(peer, 300);
      (await reader.call(large, {}, { timeoutMs: 60_000 })).release();
      most = Math.max(most, await bufferBytes(fixture));
    }
    assert.ok(closedFor(fixture.server.log).length > 0);
    // 24 peers have asked for 720 MB, of which the system holds up to 10 MiB for each.
    assert.ok(most - before < 96 * MIB, `${(most - before) / MIB} MiB`);
    assert.ok(reader.isOpen);
    for (const peer of peers) peer.destroy();
    await until(fixture, () => server.connectionCount === 1);
    const after = await bufferBytes(fixture);
    assert.ok(after - before < 16 * MIB, `${(after - before) / MIB} MiB`);
    (await reader.call(large, {}, { timeoutMs: 60_000 })).release();
    await reader.close(0);
  });
});

/** Returns the bytes of the buffers of this process that are in use. */
async function bufferBytes({ client }: WireFixture): Promise<number> {
  usedHeapBytes();
  await client.clock.sleep(20); // The system frees the buffers that were found unused.
  usedHeapBytes();
  return process.memoryUsage().arrayBuffers;
}
