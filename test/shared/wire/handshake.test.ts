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
  fixture: WireFixture,
  options: Partial<RpcServerOptions>,
  test: (address: string, server: RpcServer) => Promise<void>,
): Promise<void> {
  const server = new RpcServer(fixture.server, { identity: () => SERVER, ...options });
  const address = await server.listen(fixture.address);
  try {
    await test(address, server);
  } finally {
    await fixture.settle(server.close(500));
  }
}

const TIMEOUT = { timeoutMs: 2000 };

for (const makeFixture of [tcpFixture, memoryFixture]) {
  describe(`the handshake over ${makeFixture().title}`, () => {
    it("gives each end the identity of the other", async () => {
      const fixture = makeFixture();
      const seen: unknown[] = [];
      await withServer(fixture, { accept: (peer) => seen.push(peer) }, async (address) => {
        const options = { identity: CLIENT, expect: { role: "chunkserver" } as const, ...TIMEOUT };
        const connection = await fixture.settle(connect(fixture.client, address, options));
        assert.deepEqual(connection.peer, SERVER);
        assert.deepEqual(seen, [CLIENT]);
        await fixture.settle(connection.close());
        assert.equal(await connection.closed, null);
      });
    });

    it("accepts a client that has no cluster id yet", async () => {
      const fixture = makeFixture();
      await withServer(fixture, {}, async (address) => {
        const identity = { ...CLIENT, clusterId: null };
        const options = { identity, expect: { clusterId: null }, ...TIMEOUT };
        const connection = await fixture.settle(connect(fixture.client, address, options));
        assert.equal(connection.peer.clusterId, CLUSTER_A);
        await fixture.settle(connection.close());
      });
    });

    it("fails with WRONG_CLUSTER if the client belongs to another cluster", async () => {
      const fixture = makeFixture();
      await withServer(fixture, {}, async (address) => {
        const identity = { ...CLIENT, clusterId: CLUSTER_B };
        const attempt = connect(fixture.client, address, { identity, ...TIMEOUT });
        await assert.rejects(fixture.settle(attempt), hasCode("WRONG_CLUSTER"));
      });
    });

    it("fails with WRONG_CLUSTER if the server belongs to an unexpected cluster", async () => {
      const fixture = makeFixture();
      await withServer(fixture, {}, async (address, server) => {
        const identity = { ...CLIENT, clusterId: null };
        const expect = { clusterId: CLUSTER_B };
        const attempt = connect(fixture.client, address, { identity, expect, ...TIMEOUT });
        await assert.rejects(fixture.settle(attempt), hasCode("WRONG_CLUSTER"));
        await until(fixture, () => server.connectionCount === 0);
      });
    });

    it("fails with WRONG_ROLE if the peer has another role", async () => {
      const fixture = makeFixture();
      await withServer(fixture, {}, async (address) => {
        const options = { identity: CLIENT, expect: { role: "master" } as const, ...TIMEOUT };
        const attempt = connect(fixture.client, address, options);
        await assert.rejects(fixture.settle(attempt), hasCode("WRONG_ROLE"));
      });
    });

    it("fails with the error of `accept`", async () => {
      const fixture = makeFixture();
      const accept = (): void => {
        throw new AshlarError("WRONG_ROLE", "Only masters are accepted", { hint: "Use a master" });
      };
      await withServer(fixture, { accept }, async (address, server) => {
        const attempt = connect(fixture.client, address, { identity: CLIENT, ...TIMEOUT });
        await assert.rejects(fixture.settle(attempt), (error: AshlarError) => {
          assert.equal(error.code, "WRONG_ROLE");
          assert.equal(error.hint, "Use a master");
          return true;
        });
        await until(fixture, () => server.connectionCount === 0);
      });
    });

    it("fails with VERSION_MISMATCH if the two ends have no common version", async () => {
      const fixture = makeFixture();
      await withServer(fixture, {}, async (address) => {
        const peer = await fixture.settle(RawPeer.connect(fixture.client.network, address));
        peer.hello({ version: 9, versionOldest: 9 });
        await fixture.settle(peer.closed);
        const [refusal] = peer.frames();
        assert.equal(refusal?.kind, FRAME_KINDS.refusal);
        assert.equal(parseErrorData(refusal?.head).code, "VERSION_MISMATCH");
      });
    });

    it("succeeds with a newer peer that supports this version", async () => {
      const fixture = makeFixture();
      await withServer(fixture, {}, async (address) => {
        const peer = await fixture.settle(RawPeer.connect(fixture.client.network, address));
        peer.hello({ version: 9, versionOldest: 1, novelty: true });
        await until(fixture, () => peer.frames().length > 0);
        assert.equal(peer.frames()[0]?.kind, FRAME_KINDS.welcome);
        peer.destroy();
      });
    });

    it("fails with OVERLOADED above the limit of the connections of a role", async () => {
      const fixture = makeFixture();
      await withServer(fixture, { places: { client: 1, master: 1 } }, async (address, server) => {
        const options = { identity: CLIENT, ...TIMEOUT };
        const first = await fixture.settle(connect(fixture.client, address, options));
        const second = connect(fixture.client, address, options);
        await assert.rejects(fixture.settle(second), hasCode("OVERLOADED"));
        assert.ok(first.isOpen);
        const identity = { ...CLIENT, role: "master" } as const;
        const peer = connect(fixture.client, address, { identity, ...TIMEOUT });
        await fixture.settle((await fixture.settle(peer)).close());
        await fixture.settle(first.close());
        await until(fixture, () => server.connectionCount === 0);
        const third = await fixture.settle(connect(fixture.client, address, options));
        await fixture.settle(third.close());
      });
    });

    it("succeeds beside any number of silent connections: the oldest of them is closed", async () => {
      const fixture = makeFixture();
      // No timeout closes the silent connections in place of the limit.
      const limits = { handshakeTimeoutMs: 3_600_000 };
      await withServer(fixture, { places: { handshake: 3 }, limits }, async (address) => {
        const silent: RawPeer[] = [];
        for (let count = 0; count < 6; count += 1) {
          silent.push(await fixture.settle(RawPeer.connect(fixture.client.network, address)));
        }
        const options = { identity: CLIENT, ...TIMEOUT };
        const connection = await fixture.settle(connect(fixture.client, address, options));
        await until(fixture, () => silent.filter(({ isClosed }) => isClosed).length >= 3);
        assert.ok(connection.isOpen);
        await fixture.settle(connection.close());
        for (const peer of silent) peer.destroy();
      });
    });

    const invalidPeers: ReadonlyArray<readonly [string, Uint8Array]> = [
      ["HTTP", new TextEncoder().encode("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")],
      ["zeros", new Uint8Array(64)],
      ["a hello without the magic number", frameBytesOf({ kind: 1, streamId: 7, head: {} })],
      ["a request before hello", frameBytesOf({ kind: 4, streamId: 1, head: ["a", 1, {}] })],
      ["a hello without fields", frameBytesOf({ kind: 1, streamId: MAGIC, head: {} })],
      [
        "a hello that is too long",
        frameBytesOf({ kind: 1, streamId: MAGIC, head: "x".repeat(5000) }),
      ],
    ];
    for (const [title, bytes] of invalidPeers) {
      it(`closes a connection that sends ${title}, and logs it`, async () => {
        const fixture = makeFixture();
        await withServer(fixture, {}, async (address) => {
          const peer = await fixture.settle(RawPeer.connect(fixture.client.network, address));
          peer.send(bytes);
          await fixture.settle(peer.closed);
          const [line] = fixture.server.log.lines;
          assert.equal(line?.message, "A connection without a valid handshake was closed");
        });
      });
    }

    it("closes the connection of a refused peer that stays connected", async () => {
      const fixture = makeFixture();
      const limits = { handshakeTimeoutMs: 100 };
      await withServer(fixture, { limits }, async (address, server) => {
        const { network } = fixture.client;
        const peer = await fixture.settle(RawPeer.connect(network, address));
        peer.hello({ identity: { ...CLIENT, clusterId: CLUSTER_B } });
        peer.pause(); // The peer does not read the refusal.
        await until(fixture, () => server.connectionCount === 1);
        await until(fixture, () => server.connectionCount === 0);
        peer.destroy();
      });
    });

    it("closes a connection that sends nothing until the timeout", async () => {
      const fixture = makeFixture();
      await withServer(fixture, { limits: { handshakeTimeoutMs: 50 } }, async (address, server) => {
        const peer = await fixture.settle(RawPeer.connect(fixture.client.network, address));
        await fixture.settle(peer.closed);
        assert.equal(
          fixture.server.log.lines[0]?.fields["reason"],
          "it sent no hello before the timeout",
        );
        assert.equal(server.connectionCount, 0);
      });
    });

    it("fails with PROTOCOL_ERROR if the server speaks another protocol", async () => {
      const fixture = makeFixture();
      const listener = await fixture.server.network.listen(fixture.address, (link) => {
        const buffer = new Uint8Array(1000);
        link.start({ buffer: () => buffer, onBytes: () => {}, onClosed: () => {} });
        link.write([new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n")]).catch(() => {});
      });
      const attempt = connect(fixture.client, listener.address, { identity: CLIENT, ...TIMEOUT });
      await assert.rejects(fixture.settle(attempt), hasCode("PROTOCOL_ERROR"));
      await listener.close();
    });

    it("fails with UNAVAILABLE if the server accepts and sends no bytes, or closes", async () => {
      const fixture = makeFixture();
      let isClosing = false;
      const listener = await fixture.server.network.listen(fixture.address, (link) => {
        const buffer = new Uint8Array(1000);
        link.start({ buffer: () => buffer, onBytes: () => {}, onClosed: () => {} });
        if (isClosing) link.close();
      });
      const options = { identity: CLIENT, timeoutMs: 50 };
      const silent = connect(fixture.client, listener.address, options);
      await assert.rejects(fixture.settle(silent), hasCode("UNAVAILABLE"));
      isClosing = true;
      const closing = connect(fixture.client, listener.address, options);
      await assert.rejects(fixture.settle(closing), hasCode("UNAVAILABLE"));
      await listener.close();
    });

    it("fails with UNAVAILABLE if no process listens, and with CANCELLED if the caller aborts", async () => {
      const fixture = makeFixture();
      const listener = await fixture.server.network.listen(fixture.address, () => {});
      await listener.close();
      const attempt = connect(fixture.client, listener.address, { identity: CLIENT, ...TIMEOUT });
      await assert.rejects(fixture.settle(attempt), hasCode("UNAVAILABLE"));
      const signal = AbortSignal.abort();
      const options = { identity: CLIENT, signal, ...TIMEOUT };
      const cancelled = connect(fixture.client, listener.address, options);
      await assert.rejects(fixture.settle(cancelled), hasCode("CANCELLED"));
    });

    it("reports a port that is in use", async () => {
      const fixture = makeFixture();
      await withServer(fixture, {}, async (address) => {
        const other = new RpcServer(fixture.server, { identity: () => SERVER });
        await assert.rejects(other.listen(address), (error: AshlarError) => {
          assert.equal(error.code, "ADDRESS_IN_USE");
          assert.ok(error.message.includes(address), error.message);
          return true;
        });
      });
    });
  });
}
