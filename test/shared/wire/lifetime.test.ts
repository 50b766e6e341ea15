import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AshlarError } from "../../../shared/base/errors.ts";
import { parseErrorData } from "../../../shared/protocol/error-codec.ts";
import { connect } from "../../../shared/wire/connect.ts";
import { FRAME_KINDS } from "../../../shared/wire/frame.ts";
import type { CallHandler, Received } from "../../../shared/wire/rpc.ts";
import type { RpcServer } from "../../../shared/wire/rpc-server.ts";
import { frameBytesOf, RawPeer } from "../../support/raw-peer.ts";
import {
  CLIENT,
  chat,
  echo,
  hasCode,
  memoryFixture,
  tcpFixture,
  until,
  withPair,
} from "../../support/wire-fixture.ts";

type Echo = { text: string; bodyBytes: number };

/** A handler that responds once `open` is called. */
class Gate {
  open: () => void = () => {};
  readonly opened = new Promise<void>((resolve) => {
    this.open = resolve;
  });

  callCount = 0;

  readonly handler: CallHandler<{ text: string }, Echo> = async (request) => {
    this.callCount += 1;
    await this.opened;
    const reply = { text: request.head.text, bodyBytes: request.body.length };
    request.release();
    return reply;
  };

  readonly register = (server: RpcServer): void => server.onCall(echo, this.handler);
}

const LONG = { timeoutMs: 600_000 };
const BODY = new Uint8Array(300_000);

for (const makeFixture of [tcpFixture, memoryFixture]) {
  describe(`closing a connection over ${makeFixture().title}`, () => {
    it("waits for calls in progress when the server closes, and refuses new calls", async () => {
      const fixture = makeFixture();
      const gate = new Gate();
      await withPair(fixture, gate, async ({ connection, server, address }) => {
        const call = connection.call(echo, { text: "last" }, { ...LONG, body: BODY });
        await until(fixture, () => gate.callCount === 1);
        const closing = server.close(5000);
        await until(fixture, () => !connection.isOpen);
        const late = connection.call(echo, { text: "late" }, LONG);
        await assert.rejects(fixture.settle(late), hasCode("UNAVAILABLE"));
        const lateConnection = connect(fixture.client, address, {
          identity: CLIENT,
          timeoutMs: 100,
        });
        await assert.rejects(fixture.settle(lateConnection), hasCode("UNAVAILABLE"));
        gate.open();
        const response = await fixture.settle(call);
        assert.equal(response.head.text, "last");
        response.release();
        await fixture.settle(closing);
        assert.equal(await fixture.settle(connection.closed), null);
      });
    });

    it("cancels the calls that do not end within the server's grace period", async () => {
      const fixture = makeFixture();
      const reasons: unknown[] = [];
      let hasBegun = false;
      const register = (server: RpcServer): void =>
        server.onCall(echo, async (request, { signal }) => {
          hasBegun = true;
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
          reasons.push(signal.reason);
          request.release();
          throw signal.reason;
        });
      await withPair(fixture, { register }, async ({ connection, server }) => {
        const call = connection.call(echo, { text: "" }, { ...LONG, body: BODY });
        const failed = assert.rejects(call, hasCode("CONNECTION_LOST"));
        await until(fixture, () => hasBegun);
        await fixture.settle(server.close(50));
        await fixture.settle(failed);
        assert.equal(reasons.length, 1);
      });
    });

    it("waits for calls in progress when the client closes with a grace period", async () => {
      const fixture = makeFixture();
      const gate = new Gate();
      await withPair(fixture, gate, async ({ connection }) => {
        const call = connection.call(echo, { text: "last" }, { ...LONG, body: BODY });
        const closing = connection.close(5000);
        const late = connection.call(echo, { text: "late" }, LONG);
        await assert.rejects(fixture.settle(late), hasCode("UNAVAILABLE"));
        await until(fixture, () => gate.callCount === 1);
        gate.open();
        (await fixture.settle(call)).release();
        await fixture.settle(closing);
      });
    });

    it("fails calls and streams with CONNECTION_LOST when the other end disappears", async () => {
      const fixture = makeFixture();
      const received: Array<Received<unknown>> = [];
      const register = (server: RpcServer): void => {
        server.onCall(echo, async (request, { signal }) => {
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
          request.release();
          return { text: "", bodyBytes: 0 };
        });
        server.onStream(chat, async (request, stream, { signal }) => {
          request.release();
          const message = await stream.receive();
          if (message !== null) received.push(message);
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
          message?.release();
        });
      };
      await withPair(fixture, { register }, async ({ connection, server }) => {
        const call = connection.call(echo, { text: "" }, { ...LONG, body: BODY });
        const stream = connection.open(chat, { text: "" }, LONG);
        const sent = stream.send({ index: 1 }, BODY);
        const failing = Promise.all([
          assert.rejects(call, hasCode("CONNECTION_LOST")),
          assert.rejects(stream.receive(), hasCode("CONNECTION_LOST")),
        ]);
        await fixture.settle(sent);
        await until(fixture, () => received.length === 1);
        await fixture.settle(server.close(0));
        await fixture.settle(failing);
        await assert.rejects(fixture.settle(stream.send({ index: 2 })), hasCode("CONNECTION_LOST"));
        await fixture.settle(connection.closed);
        const late = connection.call(echo, { text: "late" }, LONG);
        await assert.rejects(fixture.settle(late), hasCode("UNAVAILABLE"));
      });
    });
  });
}

describe("a closing server", () => {
  it("refuses a request of a client that has not received its goaway", async () => {
    const fixture = memoryFixture();
    const gate = new Gate();
    await withPair(fixture, gate, async ({ connection, server, address }) => {
      const call = connection.call(echo, { text: "" }, LONG);
      const peer = await fixture.settle(RawPeer.connect(fixture.client.network, address));
      peer.hello();
      await fixture.clock.advance(10);
      const closing = server.close(5000);
      const head = ["test.echo", 1000, { text: "" }];
      peer.send(frameBytesOf({ kind: FRAME_KINDS.request, streamId: 1, head }, BODY));
      peer.send(frameBytesOf({ kind: FRAME_KINDS.request, streamId: 2, head }));
      await fixture.clock.advance(10);
      const answers = peer.frames().slice(1);
      assert.deepEqual(
        answers.map(({ kind }) => kind),
        [FRAME_KINDS.goaway, FRAME_KINDS.error, FRAME_KINDS.error],
      );
      assert.equal(parseErrorData(answers[1]?.head).code, "UNAVAILABLE");
      assert.equal(gate.callCount, 1);
      gate.open();
      (await fixture.settle(call)).release();
      peer.destroy();
      await fixture.settle(closing);
    });
  });
});

describe("a connection with a silent peer (half-open)", () => {
  it("closes at both ends shortly after three ping intervals", async () => {
    const fixture = memoryFixture();
    const gate = new Gate();
    const limits = { pingIntervalMs: 1000 };
    await withPair(fixture, { register: gate.register, limits }, async ({ connection, server }) => {
      const call = connection.call(echo, { text: "" }, { ...LONG, body: BODY });
      const failed = assert.rejects(call, hasCode("CONNECTION_LOST"));
      await fixture.clock.advance(500);
      fixture.network.cut("client", "server");
      await fixture.clock.advance(4600);
      await failed;
      assert.equal(connection.isOpen, false);
      assert.equal(server.connectionCount, 0);
      assert.match((await connection.closed)?.message ?? "", /sent no bytes/);
      gate.open();
      await fixture.clock.advance(10);
      fixture.network.heal();
    });
  });

  it("stays open while only pings pass", async () => {
    const fixture = memoryFixture();
    const gate = new Gate();
    await withPair(fixture, gate, async ({ connection, server }) => {
      await fixture.clock.advance(3_600_000);
      assert.ok(connection.isOpen);
      assert.equal(server.connectionCount, 1);
    });
  });

  it("stays open after a stall of this process: buffered bytes are read before the check", async () => {
    const fixture = memoryFixture({ delayMs: 5 });
    const gate = new Gate();
    await withPair(fixture, gate, async ({ connection }) => {
      await fixture.clock.advance(3000);
      fixture.clock.stall(60_000);
      await fixture.clock.advance(10_000);
      assert.ok(connection.isOpen);
    });
  });

  it("survives a short interruption without loss", async () => {
    const fixture = memoryFixture();
    const gate = new Gate();
    gate.open();
    await withPair(fixture, gate, async ({ connection }) => {
      fixture.network.cutOneWay("server", "client");
      const call = connection.call(echo, { text: "x" }, { ...LONG, body: BODY });
      await fixture.clock.advance(2500);
      fixture.network.heal();
      (await fixture.settle(call)).release();
    });
  });

  it("closes when the peer's host loses power", async () => {
    const fixture = memoryFixture();
    const gate = new Gate();
    await withPair(fixture, gate, async ({ connection }) => {
      fixture.network.crash("server");
      await fixture.clock.advance(20_000);
      assert.equal(connection.isOpen, false);
      gate.open();
    });
  });

  it("closes when the peer is alive and accepts no bytes", async () => {
    const fixture = memoryFixture();
    const gate = new Gate();
    gate.open();
    const limits = { stallTimeoutMs: 10_000 };
    await withPair(fixture, { register: gate.register, limits }, async ({ server, address }) => {
      const peer = await fixture.settle(RawPeer.connect(fixture.client.network, address));
      peer.hello();
      await fixture.clock.advance(10);
      peer.pause();
      const text = "x".repeat(100_000);
      for (let streamId = 1; streamId <= 300; streamId += 1) {
        const head = ["test.echo", 600_000, { text }];
        peer.send(frameBytesOf({ kind: FRAME_KINDS.request, streamId, head }));
      }
      await fixture.clock.advance(1000);
      assert.equal(server.connectionCount, 2);
      assert.ok(gate.callCount < 250, "reading is paused while responses are queued");
      for (let second = 0; second < 20; second += 1) {
        peer.send(frameBytesOf({ kind: FRAME_KINDS.ping, streamId: 0 }));
        await fixture.clock.advance(1000);
      }
      assert.equal(server.connectionCount, 1);
      assert.match(JSON.stringify(fixture.server.log.lines.at(-1)?.fields), /accepted no bytes/);
    });
  });
});

describe("a body that is being written", () => {
  /** Larger than one write: the frames after it stay in the queue. */
  const large = new Uint8Array(3_000_000);

  it("delays the rejection of its call until the link releases it, but not of queued calls", async () => {
    const fixture = memoryFixture({ bufferBytes: 100_000 });
    const gate = new Gate();
    gate.open();
    await withPair(fixture, gate, async ({ connection }) => {
      fixture.network.cut("client", "server");
      let isHeldRejected = false;
      // The first write fills the link's buffer, the second one waits.
      const filler = connection.call(echo, { text: "filler" }, { ...LONG, body: large });
      await fixture.clock.advance(1);
      const held = connection.call(echo, { text: "held" }, { timeoutMs: 50, body: large });
      const heldFailed = assert.rejects(held, hasCode("DEADLINE_EXCEEDED")).then(() => {
        isHeldRejected = true;
      });
      await fixture.clock.advance(1);
      const waiting = connection.call(echo, { text: "waiting" }, { timeoutMs: 50, body: large });
      await assert.rejects(fixture.settle(waiting), hasCode("DEADLINE_EXCEEDED"));
      await fixture.clock.advance(500);
      assert.equal(isHeldRejected, false);
      fixture.network.heal();
      await fixture.settle(heldFailed);
      (await fixture.settle(filler)).release();
      assert.ok(gate.callCount <= 2, "the queued call was never sent");
    });
  });

  it("delays the rejection of its send until the link releases it, but not of queued sends", async () => {
    const fixture = memoryFixture({ bufferBytes: 100_000 });
    const gate = new Gate();
    const register = (server: RpcServer): void =>
      server.onStream(chat, async (request, stream) => {
        request.release();
        for (let next = await stream.receive(); next !== null; next = await stream.receive()) {
          next.release();
        }
      });
    await withPair(fixture, { register }, async ({ connection }) => {
      fixture.network.cut("client", "server");
      const stream = connection.open(chat, { text: "" }, LONG);
      const states = ["pending", "pending", "pending"];
      const sends = states.map(async (_, index) => {
        await assert.rejects(stream.send({ index }, large), hasCode("SOURCE_CHANGED"));
        states[index] = "rejected";
      });
      sends[0]?.catch(() => {}); // The link accepted the whole body: the send succeeds.
      await fixture.clock.advance(10);
      stream.cancel(new AshlarError("SOURCE_CHANGED", "Stop"));
      await fixture.clock.advance(500);
      assert.deepEqual(states.slice(1), ["pending", "rejected"]);
      fixture.network.heal();
      await fixture.settle(Promise.allSettled(sends));
      assert.equal(states[1], "rejected");
      gate.open();
    });
  });
});
