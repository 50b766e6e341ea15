import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AshlarError } from "../../../shared/base/errors.ts";
import { parseErrorData } from "../../../shared/protocol/error-codec.ts";
import { connect } from "../../../shared/wire/connect.ts";
import { FRAME_KINDS, MAGIC } from "../../../shared/wire/frame.ts";
import { RpcServer, type RpcServerOptions } from "../../../shared/wire/rpc-server.ts";
import { frameBytesOf, RawPeer } from "../../support/raw-peer.ts";
import {
  CLIENT,
  CLUSTER_A,
  CLUSTER_B,
  hasCode,
  memoryFixture,
  SERVER,
  tcpFixture,
  until,
  type WireFixture,
} from "../../support/wire-fixture.ts";

async function withServer(
  stage: WireFixture,
  options: Partial<RpcServerOptions>,
  test: (address: string, server: RpcServer) => Promise<void>,
): Promise<void> {
  const server = new RpcServer(stage.server, { identity: () => SERVER, ...options });
  const address = await server.listen(stage.address);
  try {
    await test(address, server);
  } finally {
    await stage.settle(server.close(500));
  }
}

const TIMEOUT = { timeoutMs: 2000 };

for (const makeStage of [tcpFixture, memoryFixture]) {
  describe(`the handshake over ${makeStage().title}`, () => {
    it("tells each end who the other is", async () => {
      const stage = makeStage();
      const seen: unknown[] = [];
      await withServer(stage, { accept: (peer) => seen.push(peer) }, async (address) => {
        const options = { identity: CLIENT, expect: { role: "chunkserver" } as const, ...TIMEOUT };
        const connection = await stage.settle(connect(stage.client, address, options));
        assert.deepEqual(connection.peer, SERVER);
        assert.deepEqual(seen, [CLIENT]);
        await stage.settle(connection.close());
        assert.equal(await connection.closed, null);
      });
    });

    it("takes a client that knows no cluster yet", async () => {
      const stage = makeStage();
      await withServer(stage, {}, async (address) => {
        const identity = { ...CLIENT, clusterId: null };
        const options = { identity, expect: { clusterId: null }, ...TIMEOUT };
        const connection = await stage.settle(connect(stage.client, address, options));
        assert.equal(connection.peer.clusterId, CLUSTER_A);
        await stage.settle(connection.close());
      });
    });

    it("fails with WRONG_CLUSTER if the client belongs to another cluster", async () => {
      const stage = makeStage();
      await withServer(stage, {}, async (address) => {
        const identity = { ...CLIENT, clusterId: CLUSTER_B };
        const attempt = connect(stage.client, address, { identity, ...TIMEOUT });
        await assert.rejects(stage.settle(attempt), hasCode("WRONG_CLUSTER"));
      });
    });

    it("fails with WRONG_CLUSTER if the server belongs to another than expected", async () => {
      const stage = makeStage();
      await withServer(stage, {}, async (address, server) => {
        const identity = { ...CLIENT, clusterId: null };
        const expect = { clusterId: CLUSTER_B };
        const attempt = connect(stage.client, address, { identity, expect, ...TIMEOUT });
        await assert.rejects(stage.settle(attempt), hasCode("WRONG_CLUSTER"));
        await until(stage, () => server.connectionCount === 0);
      });
    });

    it("fails with WRONG_ROLE if something else answers there", async () => {
      const stage = makeStage();
      await withServer(stage, {}, async (address) => {
        const options = { identity: CLIENT, expect: { role: "master" } as const, ...TIMEOUT };
        const attempt = connect(stage.client, address, options);
        await assert.rejects(stage.settle(attempt), hasCode("WRONG_ROLE"));
      });
    });

    it("fails with what `accept` threw", async () => {
      const stage = makeStage();
      const accept = (): void => {
        throw new AshlarError("WRONG_ROLE", "Only masters may come here", { hint: "Go away" });
      };
      await withServer(stage, { accept }, async (address, server) => {
        const attempt = connect(stage.client, address, { identity: CLIENT, ...TIMEOUT });
        await assert.rejects(stage.settle(attempt), (error: AshlarError) => {
          assert.equal(error.code, "WRONG_ROLE");
          assert.equal(error.hint, "Go away");
          return true;
        });
        await until(stage, () => server.connectionCount === 0);
      });
    });

    it("fails with VERSION_MISMATCH if the ends have no version in common", async () => {
      const stage = makeStage();
      await withServer(stage, {}, async (address) => {
        const peer = await stage.settle(RawPeer.connect(stage.client.network, address));
        peer.hello({ version: 9, versionOldest: 9 });
        await stage.settle(peer.closed);
        const [refusal] = peer.frames();
        assert.equal(refusal?.kind, FRAME_KINDS.refusal);
        assert.equal(parseErrorData(refusal?.head).code, "VERSION_MISMATCH");
      });
    });

    it("goes well with a newer peer that still speaks our version", async () => {
      const stage = makeStage();
      await withServer(stage, {}, async (address) => {
        const peer = await stage.settle(RawPeer.connect(stage.client.network, address));
        peer.hello({ version: 9, versionOldest: 1, novelty: true });
        await until(stage, () => peer.frames().length > 0);
        assert.equal(peer.frames()[0]?.kind, FRAME_KINDS.welcome);
        peer.destroy();
      });
    });

    it("refuses with OVERLOADED above the bound on connections", async () => {
      const stage = makeStage();
      await withServer(stage, { connectionsMax: 1 }, async (address, server) => {
        const options = { identity: CLIENT, ...TIMEOUT };
        const first = await stage.settle(connect(stage.client, address, options));
        const second = connect(stage.client, address, options);
        await assert.rejects(stage.settle(second), hasCode("OVERLOADED"));
        assert.ok(first.isOpen);
        await stage.settle(first.close());
        await until(stage, () => server.connectionCount === 0);
        const third = await stage.settle(connect(stage.client, address, options));
        await stage.settle(third.close());
      });
    });

    const strangers: ReadonlyArray<readonly [string, Uint8Array]> = [
      ["HTTP", new TextEncoder().encode("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")],
      ["zeros", new Uint8Array(64)],
      ["a hello without the magic number", frameBytesOf({ kind: 1, streamId: 7, head: {} })],
      ["a request before hello", frameBytesOf({ kind: 4, streamId: 1, head: ["a", 1, {}] })],
      ["a hello that says nothing", frameBytesOf({ kind: 1, streamId: MAGIC, head: {} })],
      ["an endless hello", frameBytesOf({ kind: 1, streamId: MAGIC, head: "x".repeat(5000) })],
    ];
    for (const [title, bytes] of strangers) {
      it(`drops a stranger that sends ${title}, with a line in the log`, async () => {
        const stage = makeStage();
        await withServer(stage, {}, async (address) => {
          const peer = await stage.settle(RawPeer.connect(stage.client.network, address));
          peer.send(bytes);
          await stage.settle(peer.closed);
          const [line] = stage.server.log.lines;
          assert.equal(line?.message, "A stranger was dropped");
        });
      });
    }

    it("drops one that was refused and does not go", async () => {
      const stage = makeStage();
      const limits = { handshakeTimeoutMs: 100 };
      await withServer(stage, { limits }, async (address, server) => {
        const { network } = stage.client;
        const peer = await stage.settle(RawPeer.connect(network, address));
        peer.hello({ identity: { ...CLIENT, clusterId: CLUSTER_B } });
        peer.pause(); // It hears nothing of it.
        await until(stage, () => server.connectionCount === 1);
        await until(stage, () => server.connectionCount === 0);
        peer.destroy();
      });
    });

    it("drops a stranger that sends nothing", async () => {
      const stage = makeStage();
      await withServer(stage, { limits: { handshakeTimeoutMs: 50 } }, async (address, server) => {
        const peer = await stage.settle(RawPeer.connect(stage.client.network, address));
        await stage.settle(peer.closed);
        assert.equal(stage.server.log.lines[0]?.fields["reason"], "no hello");
        assert.equal(server.connectionCount, 0);
      });
    });

    it("fails with PROTOCOL_ERROR if the server is no Ashlar", async () => {
      const stage = makeStage();
      const listener = await stage.server.network.listen(stage.address, (link) => {
        const buffer = new Uint8Array(1000);
        link.start({ buffer: () => buffer, onBytes: () => {}, onClosed: () => {} });
        link.write([new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n")]).catch(() => {});
      });
      const attempt = connect(stage.client, listener.address, { identity: CLIENT, ...TIMEOUT });
      await assert.rejects(stage.settle(attempt), hasCode("PROTOCOL_ERROR"));
      await listener.close();
    });

    it("fails with UNAVAILABLE if the server accepts and says nothing, or closes", async () => {
      const stage = makeStage();
      let isClosing = false;
      const listener = await stage.server.network.listen(stage.address, (link) => {
        const buffer = new Uint8Array(1000);
        link.start({ buffer: () => buffer, onBytes: () => {}, onClosed: () => {} });
        if (isClosing) link.close();
      });
      const options = { identity: CLIENT, timeoutMs: 50 };
      const silent = connect(stage.client, listener.address, options);
      await assert.rejects(stage.settle(silent), hasCode("UNAVAILABLE"));
      isClosing = true;
      const closing = connect(stage.client, listener.address, options);
      await assert.rejects(stage.settle(closing), hasCode("UNAVAILABLE"));
      await listener.close();
    });

    it("fails with UNAVAILABLE if nobody listens, with CANCELLED if the caller gives up", async () => {
      const stage = makeStage();
      const listener = await stage.server.network.listen(stage.address, () => {});
      await listener.close();
      const attempt = connect(stage.client, listener.address, { identity: CLIENT, ...TIMEOUT });
      await assert.rejects(stage.settle(attempt), hasCode("UNAVAILABLE"));
      const signal = AbortSignal.abort();
      const options = { identity: CLIENT, signal, ...TIMEOUT };
      const cancelled = connect(stage.client, listener.address, options);
      await assert.rejects(stage.settle(cancelled), hasCode("CANCELLED"));
    });

    it("finds a port that is in use", async () => {
      const stage = makeStage();
      await withServer(stage, {}, async (address) => {
        const other = new RpcServer(stage.server, { identity: () => SERVER });
        await assert.rejects(other.listen(address), (error: AshlarError) => {
          assert.equal(error.code, "ADDRESS_IN_USE");
          assert.ok(error.message.includes(address), error.message);
          return true;
        });
      });
    });
  });
}
