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

/** Answers when `open` is called. */
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

for (const makeStage of [tcpFixture, memoryFixture]) {
  describe(`the end of a connection over ${makeStage().title}`, () => {
    it("waits for what is under way when the server closes; new calls go elsewhere", async () => {
      const stage = makeStage();
      const gate = new Gate();
      await withPair(stage, gate, async ({ connection, server, address }) => {
        const call = connection.call(echo, { text: "last" }, { ...LONG, body: BODY });
        await until(stage, () => gate.callCount === 1);
        const closing = server.close(5000);
        await until(stage, () => !connection.isOpen);
        const late = connection.call(echo, { text: "late" }, LONG);
        await assert.rejects(stage.settle(late), hasCode("UNAVAILABLE"));
        const stranger = connect(stage.client, address, { identity: CLIENT, timeoutMs: 100 });
        await assert.rejects(stage.settle(stranger), hasCode("UNAVAILABLE"));
        gate.open();
        const response = await stage.settle(call);
        assert.equal(response.head.text, "last");
        response.release();
        await stage.settle(closing);
        assert.equal(await stage.settle(connection.closed), null);
      });
    });

    it("cancels what is not done within the server's grace", async () => {
      const stage = makeStage();
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
      await withPair(stage, { register }, async ({ connection, server }) => {
        const call = connection.call(echo, { text: "" }, { ...LONG, body: BODY });
        const failed = assert.rejects(call, hasCode("CONNECTION_LOST"));
        await until(stage, () => hasBegun);
        await stage.settle(server.close(50));
        await stage.settle(failed);
        assert.equal(reasons.length, 1);
      });
    });

    it("waits for what is under way when the client closes with a grace", async () => {
      const stage = makeStage();
      const gate = new Gate();
      await withPair(stage, gate, async ({ connection }) => {
        const call = connection.call(echo, { text: "last" }, { ...LONG, body: BODY });
        const closing = connection.close(5000);
        const late = connection.call(echo, { text: "late" }, LONG);
        await assert.rejects(stage.settle(late), hasCode("UNAVAILABLE"));
        await until(stage, () => gate.callCount === 1);
        gate.open();
        (await stage.settle(call)).release();
        await stage.settle(closing);
      });
    });

    it("fails calls and streams with CONNECTION_LOST when the other end is gone", async () => {
      const stage = makeStage();
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
      await withPair(stage, { register }, async ({ connection, server }) => {
        const call = connection.call(echo, { text: "" }, { ...LONG, body: BODY });
        const stream = connection.open(chat, { greeting: "" }, LONG);
        const sent = stream.send({ index: 1 }, BODY);
        const failing = Promise.all([
          assert.rejects(call, hasCode("CONNECTION_LOST")),
          assert.rejects(stream.receive(), hasCode("CONNECTION_LOST")),
        ]);
        await stage.settle(sent);
        await until(stage, () => received.length === 1);
        await stage.settle(server.close(0));
        await stage.settle(failing);
        await assert.rejects(stage.settle(stream.send({ index: 2 })), hasCode("CONNECTION_LOST"));
        await stage.settle(connection.closed);
        const late = connection.call(echo, { text: "late" }, LONG);
        await assert.rejects(stage.settle(late), hasCode("UNAVAILABLE"));
      });
    });
  });
}

describe("a server that is closing", () => {
  it("refuses a request of a client that has not heard of it", async () => {
    const stage = memoryFixture();
    const gate = new Gate();
    await withPair(stage, gate, async ({ connection, server, address }) => {
      const call = connection.call(echo, { text: "" }, LONG);
      const peer = await stage.settle(RawPeer.connect(stage.client.network, address));
      peer.hello();
      await stage.clock.advance(10);
      const closing = server.close(5000);
      const head = ["test.echo", 1000, { text: "" }];
      peer.send(frameBytesOf({ kind: FRAME_KINDS.request, streamId: 1, head }, BODY));
      peer.send(frameBytesOf({ kind: FRAME_KINDS.request, streamId: 2, head }));
      await stage.clock.advance(10);
      const answers = peer.frames().slice(1);
      assert.deepEqual(
        answers.map(({ kind }) => kind),
        [FRAME_KINDS.goaway, FRAME_KINDS.error, FRAME_KINDS.error],
      );
      assert.equal(parseErrorData(answers[1]?.head).code, "UNAVAILABLE");
      assert.equal(gate.callCount, 1);
      gate.open();
      (await stage.settle(call)).release();
      peer.destroy();
      await stage.settle(closing);
    });
  });
});

describe("a connection whose peer goes silent (half-open)", () => {
  it("ends at both ends within three ping intervals and a bit", async () => {
    const stage = memoryFixture();
    const gate = new Gate();
    const limits = { pingIntervalMs: 1000 };
    await withPair(stage, { register: gate.register, limits }, async ({ connection, server }) => {
      const call = connection.call(echo, { text: "" }, { ...LONG, body: BODY });
      const failed = assert.rejects(call, hasCode("CONNECTION_LOST"));
      await stage.clock.advance(500);
      stage.network.cut("client", "server");
      await stage.clock.advance(4600);
      await failed;
      assert.equal(connection.isOpen, false);
      assert.equal(server.connectionCount, 0);
      assert.match((await connection.closed)?.message ?? "", /silent/);
      gate.open();
      await stage.clock.advance(10);
      stage.network.heal();
    });
  });

  it("lives on while only pings pass, for as long as it likes", async () => {
    const stage = memoryFixture();
    const gate = new Gate();
    await withPair(stage, gate, async ({ connection, server }) => {
      await stage.clock.advance(3_600_000);
      assert.ok(connection.isOpen);
      assert.equal(server.connectionCount, 1);
    });
  });

  it("survives a stall of this process: what the system holds is read before the verdict", async () => {
    const stage = memoryFixture({ delayMs: 5 });
    const gate = new Gate();
    await withPair(stage, gate, async ({ connection }) => {
      await stage.clock.advance(3000);
      stage.clock.stall(60_000);
      await stage.clock.advance(10_000);
      assert.ok(connection.isOpen);
    });
  });

  it("survives a short cut, and nothing is lost", async () => {
    const stage = memoryFixture();
    const gate = new Gate();
    gate.open();
    await withPair(stage, gate, async ({ connection }) => {
      stage.network.cutOneWay("server", "client");
      const call = connection.call(echo, { text: "x" }, { ...LONG, body: BODY });
      await stage.clock.advance(2500);
      stage.network.heal();
      (await stage.settle(call)).release();
    });
  });

  it("ends when the peer's host loses power", async () => {
    const stage = memoryFixture();
    const gate = new Gate();
    await withPair(stage, gate, async ({ connection }) => {
      stage.network.crash("server");
      await stage.clock.advance(20_000);
      assert.equal(connection.isOpen, false);
      gate.open();
    });
  });

  it("ends when the peer is alive and takes no bytes", async () => {
    const stage = memoryFixture();
    const gate = new Gate();
    gate.open();
    const limits = { stallTimeoutMs: 10_000 };
    await withPair(stage, { register: gate.register, limits }, async ({ server, address }) => {
      const peer = await stage.settle(RawPeer.connect(stage.client.network, address));
      peer.hello();
      await stage.clock.advance(10);
      peer.pause();
      const text = "x".repeat(100_000);
      for (let streamId = 1; streamId <= 300; streamId += 1) {
        const head = ["test.echo", 600_000, { text }];
        peer.send(frameBytesOf({ kind: FRAME_KINDS.request, streamId, head }));
      }
      await stage.clock.advance(1000);
      assert.equal(server.connectionCount, 2);
      assert.ok(gate.callCount < 250, "no more is read while the answers pile up");
      for (let second = 0; second < 20; second += 1) {
        peer.send(frameBytesOf({ kind: FRAME_KINDS.ping, streamId: 0 }));
        await stage.clock.advance(1000);
      }
      assert.equal(server.connectionCount, 1);
      assert.match(JSON.stringify(stage.server.log.lines.at(-1)?.fields), /taken no bytes/);
    });
  });
});

describe("a body that the link still holds", () => {
  /** More than the writer gives to the link at a time: what comes behind it stays in the queue. */
  const large = new Uint8Array(3_000_000);

  it("keeps its failed call from rejecting: the caller may reuse it then; what waits rejects at once", async () => {
    const stage = memoryFixture({ bufferBytes: 100_000 });
    const gate = new Gate();
    gate.open();
    await withPair(stage, gate, async ({ connection }) => {
      stage.network.cut("client", "server");
      let isHeldRejected = false;
      // The first write fills the link's buffer, the second waits for it.
      const filler = connection.call(echo, { text: "filler" }, { ...LONG, body: large });
      await stage.clock.advance(1);
      const held = connection.call(echo, { text: "held" }, { timeoutMs: 50, body: large });
      const heldFailed = assert.rejects(held, hasCode("DEADLINE_EXCEEDED")).then(() => {
        isHeldRejected = true;
      });
      await stage.clock.advance(1);
      const waiting = connection.call(echo, { text: "waiting" }, { timeoutMs: 50, body: large });
      await assert.rejects(stage.settle(waiting), hasCode("DEADLINE_EXCEEDED"));
      await stage.clock.advance(500);
      assert.equal(isHeldRejected, false);
      stage.network.heal();
      await stage.settle(heldFailed);
      (await stage.settle(filler)).release();
      assert.ok(gate.callCount <= 2, "the one that waited was never sent");
    });
  });

  it("keeps its cancelled send from rejecting; what waits rejects at once", async () => {
    const stage = memoryFixture({ bufferBytes: 100_000 });
    const gate = new Gate();
    const register = (server: RpcServer): void =>
      server.onStream(chat, async (request, stream) => {
        request.release();
        for (let next = await stream.receive(); next !== null; next = await stream.receive()) {
          next.release();
        }
      });
    await withPair(stage, { register }, async ({ connection }) => {
      stage.network.cut("client", "server");
      const stream = connection.open(chat, { greeting: "" }, LONG);
      const states = ["pending", "pending", "pending"];
      const sends = states.map(async (_, index) => {
        await assert.rejects(stream.send({ index }, large), hasCode("SOURCE_CHANGED"));
        states[index] = "rejected";
      });
      sends[0]?.catch(() => {}); // The link took all of it: it succeeds.
      await stage.clock.advance(10);
      stream.cancel(new AshlarError("SOURCE_CHANGED", "Stop"));
      await stage.clock.advance(500);
      assert.deepEqual(states.slice(1), ["pending", "rejected"]);
      stage.network.heal();
      await stage.settle(Promise.allSettled(sends));
      assert.equal(states[1], "rejected");
      gate.open();
    });
  });
});
