import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseErrorData } from "../../../shared/protocol/error-codec.ts";
import { connect } from "../../../shared/wire/connect.ts";
import { FLAG_STREAM, FRAME_KINDS } from "../../../shared/wire/frame.ts";
import { RpcServer } from "../../../shared/wire/rpc-server.ts";
import { frameBytesOf, RawPeer } from "../../support/raw-peer.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import {
  CLIENT,
  chat,
  echo,
  type MemoryWireFixture,
  memoryFixture,
  SERVER,
} from "../../support/wire-fixture.ts";

const LIMITS = { inFlightMax: 50, streamWindowBytes: 100_000, connectionWindowBytes: 200_000 };

interface Scene {
  readonly stage: MemoryWireFixture;
  readonly address: string;
  /** A peer that has said hello. */
  readonly peer: RawPeer;
}

/** A raw peer beside a good connection, which must not notice. Nobody may hold a slab in the end. */
async function withScene(test: (scene: Scene) => Promise<void>): Promise<void> {
  const stage = memoryFixture();
  const server = new RpcServer(stage.server, { identity: () => SERVER, limits: LIMITS });
  server.onCall(echo, async (request, { signal }) => {
    const { text } = request.head;
    const bodyBytes = request.body.length;
    request.release();
    if (text === "wait") await new Promise((resolve) => signal.addEventListener("abort", resolve));
    return { text, bodyBytes };
  });
  server.onStream(chat, async (request, stream, { signal }) => {
    request.release();
    if (request.head.greeting === "wait") {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    }
    for (let message = await stream.receive(); message !== null; message = await stream.receive()) {
      message.release();
    }
  });
  const address = await server.listen(stage.address);
  const options = { identity: CLIENT, timeoutMs: 5000 };
  const good = await stage.settle(connect(stage.client, address, options));
  const peer = await stage.settle(RawPeer.connect(stage.client.network, address));
  peer.hello();
  await stage.clock.advance(10);
  assert.equal(peer.frames()[0]?.kind, FRAME_KINDS.welcome);

  await test({ stage, address, peer });

  const call = good.call(echo, { text: "alive" }, { timeoutMs: 1000, body: new Uint8Array(9999) });
  const response = await stage.settle(call);
  assert.equal(response.head.bodyBytes, 9999);
  response.release();
  peer.destroy();
  await stage.settle(good.close());
  await stage.settle(server.close(100));
  await stage.clock.advance(10);
  assert.equal(stage.server.slabs.acquiredBytes, 0);
  assert.equal(stage.network.openCount, 0);
}

function header(bytes: readonly number[]): Uint8Array {
  return Uint8Array.from([...bytes, ...new Array<number>(16).fill(0)]).subarray(0, 16);
}

const request = FRAME_KINDS.request;
const message = FRAME_KINDS.message;
const waiting = ["test.echo", 10_000, { text: "wait" }];
const opening = { kind: request, flags: FLAG_STREAM, streamId: 1 } as const;

describe("a peer that breaks the wire protocol", () => {
  const fatal: ReadonlyArray<readonly [string, readonly Uint8Array[]]> = [
    ["an unknown kind", [header([99])]],
    ["kind 0", [header([0])]],
    ["unknown flags", [header([request, 4, 0, 0, 1])]],
    ["reserved bytes that are set", [header([request, 0, 1, 0, 1])]],
    ["a head beyond the limit", [header([request, 0, 0, 0, 1, 0, 0, 0, 1, 0, 16, 0])]],
    ["a body beyond the limit", [header([request, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 128, 0])]],
    ["a body where none belongs", [header([FRAME_KINDS.ping, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9])]],
    ["a second hello", [frameBytesOf({ kind: FRAME_KINDS.hello, streamId: 1, head: {} })]],
    [
      "a response, to a server",
      [frameBytesOf({ kind: FRAME_KINDS.response, streamId: 1, head: {} })],
    ],
    ["a goaway, to a server", [frameBytesOf({ kind: FRAME_KINDS.goaway, streamId: 0 })]],
    ["a request under id 0", [frameBytesOf({ kind: request, streamId: 0, head: waiting })]],
    [
      "two requests under one id",
      [1, 2].map(() => frameBytesOf({ kind: request, streamId: 5, head: waiting })),
    ],
    ["credit without an amount", [frameBytesOf({ kind: FRAME_KINDS.credit, streamId: 0 })]],
    [
      "credit that was never spent",
      [frameBytesOf({ kind: FRAME_KINDS.credit, streamId: 0, head: 1 })],
    ],
    ["negative credit", [frameBytesOf({ kind: FRAME_KINDS.credit, streamId: 0, head: -5 })]],
    [
      "more on a stream than its window",
      [
        frameBytesOf({ ...opening, head: ["test.chat", null, { greeting: "wait" }] }),
        ...Array.from({ length: 8 }, () =>
          frameBytesOf({ kind: message, streamId: 1, head: { index: 1 } }, new Uint8Array(20_000)),
        ),
      ],
    ],
  ];
  for (const [title, bytes] of fatal) {
    it(`is cut off, with an error in the log, for ${title}`, async () => {
      await withScene(async ({ stage, peer }) => {
        peer.send(...bytes);
        await stage.settle(peer.closed);
        const errors = stage.server.log.lines.filter(({ level }) => level === "error");
        assert.equal(errors.length, 1);
        assert.equal(
          errors[0]?.message,
          "A peer broke the wire protocol, its connection is closed",
        );
      });
    });
  }

  const harmless: ReadonlyArray<readonly [string, readonly Uint8Array[]]> = [
    ["a head that is not msgpack", [frameBytesOfRaw(request, 1, Uint8Array.of(0xc1, 0xff))]],
    ["a request that is no array", [frameBytesOf({ kind: request, streamId: 1, head: "x" })]],
    [
      "a negative timeout",
      [frameBytesOf({ kind: request, streamId: 1, head: ["test.echo", -1, {}] })],
    ],
    ["an unknown method", [frameBytesOf({ kind: request, streamId: 1, head: ["no", 1, {}] })]],
    [
      "a call of a stream",
      [frameBytesOf({ kind: request, streamId: 1, head: ["test.chat", 1, {}] })],
    ],
    [
      "a message that the parser refuses",
      [
        frameBytesOf({ ...opening, head: ["test.chat", null, { greeting: "" }] }),
        frameBytesOf({ kind: message, streamId: 1, head: { index: "x" } }, new Uint8Array(9000)),
      ],
    ],
  ];
  for (const [title, bytes] of harmless) {
    it(`gets an error for ${title}, and may go on`, async () => {
      await withScene(async ({ stage, peer }) => {
        peer.send(...bytes);
        await stage.clock.advance(20);
        const answer = peer.frames().at(-1);
        assert.ok(answer?.kind === FRAME_KINDS.error || answer?.kind === FRAME_KINDS.cancel);
        const { code } = parseErrorData(answer.head);
        assert.ok(code === "PROTOCOL_ERROR" || code === "UNSUPPORTED", code);
        peer.send(
          frameBytesOf({ kind: request, streamId: 2, head: ["test.echo", 99, { text: "" }] }),
        );
        await stage.clock.advance(20);
        assert.equal(peer.frames().at(-1)?.kind, FRAME_KINDS.response);
      });
    });
  }

  it("survives a message of a stream that makes an error too long to be sent", async () => {
    await withScene(async ({ stage, peer }) => {
      const open = { kind: FRAME_KINDS.request, flags: FLAG_STREAM, streamId: 1 };
      const message = { kind: FRAME_KINDS.message, streamId: 1 };
      peer.send(
        frameBytesOf({ ...open, head: ["test.chat", 5000, { greeting: "hello" }] }),
        frameBytesOf({ ...message, head: { index: "x".repeat(2 ** 20 - 100) } }),
      );
      await stage.clock.advance(100);
      const told = peer.frames().find(({ kind }) => kind === FRAME_KINDS.cancel);
      assert.equal(parseErrorData(told?.head).code, "PROTOCOL_ERROR");
    });
  });

  it("is told OVERLOADED for every call above the bound", async () => {
    await withScene(async ({ stage, peer }) => {
      for (let streamId = 1; streamId <= 60; streamId += 1) {
        peer.send(frameBytesOf({ kind: request, streamId, head: waiting }, new Uint8Array(5000)));
      }
      await stage.clock.advance(20);
      const errors = peer.frames().filter(({ kind }) => kind === FRAME_KINDS.error);
      assert.equal(errors.length, 10);
      assert.ok(errors.every(({ head }) => parseErrorData(head).code === "OVERLOADED"));
    });
  });

  it("may send messages, ends and cancels of streams that are over", async () => {
    await withScene(async ({ stage, peer }) => {
      for (let round = 0; round < 50; round += 1) {
        const streamId = 7;
        peer.send(
          frameBytesOf({ kind: message, streamId, head: { index: 1 } }, new Uint8Array(9000)),
          frameBytesOf({ kind: FRAME_KINDS.end, streamId }),
          frameBytesOf({ kind: FRAME_KINDS.cancel, streamId, head: { code: "CANCELLED" } }),
        );
        await stage.clock.advance(5);
      }
      assert.ok(!peer.isClosed);
    });
  });

  it("may stop in the middle of a body: its slab comes back", async () => {
    await withScene(async ({ stage, peer }) => {
      const bytes = frameBytesOf(
        { kind: request, streamId: 1, head: waiting },
        new Uint8Array(500_000),
      );
      peer.send(bytes.subarray(0, 300_000));
      await stage.clock.advance(20);
      assert.ok(stage.server.slabs.acquiredBytes > 0);
      peer.destroy();
      await stage.clock.advance(20);
    });
  });

  for (let seed = 1; seed <= 150; seed += 1) {
    it(`hurts nobody else with random bytes (seed ${seed})`, async () => {
      const random = new SeededRandom(seed);
      await withScene(async ({ stage, peer }) => {
        for (let round = 0; round < 30 && !peer.isClosed; round += 1) {
          peer.send(randomFrame(random));
          await stage.clock.advance(random.integer(5));
        }
      });
    });
  }
});

function frameBytesOfRaw(kind: number, streamId: number, head: Uint8Array): Uint8Array {
  return Uint8Array.from([...header([kind, 0, 0, 0, streamId, 0, 0, 0, head.length]), ...head]);
}

/** Mostly right, with a few bytes changed: pure noise would be stopped by the first header. */
function randomFrame(random: SeededRandom): Uint8Array {
  const kinds = Object.values(FRAME_KINDS);
  const heads = [waiting, ["test.chat", null, { greeting: "" }], { index: 3 }, 5000, undefined];
  const kind = kinds[3 + random.integer(kinds.length - 3)] ?? FRAME_KINDS.ping;
  const body = new Uint8Array(random.integer(3) === 0 ? random.integer(30_000) : 0);
  const fields = {
    kind,
    flags: random.integer(2),
    streamId: random.integer(8),
    head: heads[random.integer(heads.length)],
  };
  const withBody = kind === request || kind === message ? body : new Uint8Array(0);
  const bytes = frameBytesOf(fields, withBody);
  const damageCount = random.integer(3) === 0 ? 1 + random.integer(4) : 0;
  for (let count = 0; count < damageCount; count += 1) {
    bytes[random.integer(Math.min(bytes.length, 60))] = random.integer(256);
  }
  return bytes;
}
