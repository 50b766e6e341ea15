import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseErrorData } from "../../../shared/protocol/error-codec.ts";
import { connect } from "../../../shared/wire/connect.ts";
import { FLAG_STREAM, FRAME_KINDS } from "../../../shared/wire/frame.ts";
import { DEFAULT_WIRE_LIMITS } from "../../../shared/wire/limits.ts";
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

interface PeerFixture {
  readonly fixture: MemoryWireFixture;
  readonly address: string;
  /** A peer after its handshake. */
  readonly peer: RawPeer;
}

/**
 * Runs `test` with a raw peer next to a correct connection, which must not be affected. Checks that
 * all slabs are released.
 */
async function withRawPeer(test: (peerFixture: PeerFixture) => Promise<void>): Promise<void> {
  const fixture = memoryFixture();
  const server = new RpcServer(fixture.server, { identity: () => SERVER, limits: LIMITS });
  server.onCall(echo, async (request, { signal }) => {
    const { text } = request.head;
    const bodyBytes = request.body.length;
    request.release();
    if (text === "wait") await new Promise((resolve) => signal.addEventListener("abort", resolve));
    return { text, bodyBytes };
  });
  server.onStream(chat, async (request, stream, { signal }) => {
    request.release();
    if (request.head.text === "wait") {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    }
    for (let message = await stream.receive(); message !== null; message = await stream.receive()) {
      message.release();
    }
  });
  const address = await server.listen(fixture.address);
  const options = { identity: CLIENT, timeoutMs: 5000 };
  const good = await fixture.settle(connect(fixture.client, address, options));
  const peer = await fixture.settle(RawPeer.connect(fixture.client.network, address));
  peer.hello();
  await fixture.clock.advance(10);
  assert.equal(peer.frames()[0]?.kind, FRAME_KINDS.welcome);

  await test({ fixture, address, peer });

  const call = good.call(echo, { text: "alive" }, { timeoutMs: 1000, body: new Uint8Array(9999) });
  const response = await fixture.settle(call);
  assert.equal(response.head.bodyBytes, 9999);
  response.release();
  peer.destroy();
  await fixture.settle(good.close());
  await fixture.settle(server.close(100));
  await fixture.clock.advance(10);
  assert.equal(fixture.server.slabs.acquiredBytes, 0);
  assert.equal(fixture.network.openCount, 0);
}

function header(bytes: readonly number[]): Uint8Array {
  return Uint8Array.from([...bytes, ...new Array<number>(16).fill(0)]).subarray(0, 16);
}

const request = FRAME_KINDS.request;
const message = FRAME_KINDS.message;
const waiting = ["test.echo", 10_000, { text: "wait" }];
const opening = { kind: request, flags: FLAG_STREAM, streamId: 1 } as const;

describe("a peer that violates the wire protocol", () => {
  const fatal: ReadonlyArray<readonly [string, readonly Uint8Array[]]> = [
    ["an unknown kind", [header([99])]],
    ["kind 0", [header([0])]],
    ["unknown flags", [header([request, 4, 0, 0, 1])]],
    ["reserved bytes other than 0", [header([request, 0, 1, 0, 1])]],
    ["a head beyond the limit", [header([request, 0, 0, 0, 1, 0, 0, 0, 1, 0, 16, 0])]],
    ["a body beyond the limit", [header([request, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 128, 0])]],
    [
      "a body in a frame of a kind that has no body",
      [header([FRAME_KINDS.ping, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9])],
    ],
    ["a second hello", [frameBytesOf({ kind: FRAME_KINDS.hello, streamId: 1, head: {} })]],
    [
      "a response, to a server",
      [frameBytesOf({ kind: FRAME_KINDS.response, streamId: 1, head: {} })],
    ],
    ["a goaway, to a server", [frameBytesOf({ kind: FRAME_KINDS.goaway, streamId: 0 })]],
    [
      "a request with the stream id 0",
      [frameBytesOf({ kind: request, streamId: 0, head: waiting })],
    ],
    [
      "two requests with one id",
      [1, 2].map(() => frameBytesOf({ kind: request, streamId: 5, head: waiting })),
    ],
    ["credit without an amount", [frameBytesOf({ kind: FRAME_KINDS.credit, streamId: 0 })]],
    [
      "credit that was never spent",
      [frameBytesOf({ kind: FRAME_KINDS.credit, streamId: 0, head: 1 })],
    ],
    ["negative credit", [frameBytesOf({ kind: FRAME_KINDS.credit, streamId: 0, head: -5 })]],
    [
      "more bytes on a stream than its window",
      [
        frameBytesOf({ ...opening, head: ["test.chat", null, { text: "wait" }] }),
        ...Array.from({ length: 8 }, () =>
          frameBytesOf({ kind: message, streamId: 1, head: { index: 1 } }, new Uint8Array(20_000)),
        ),
      ],
    ],
  ];
  for (const [title, bytes] of fatal) {
    it(`is disconnected, with an error in the log, after ${title}`, async () => {
      await withRawPeer(async ({ fixture, peer }) => {
        peer.send(...bytes);
        await fixture.settle(peer.closed);
        const errors = fixture.server.log.lines.filter(({ level }) => level === "error");
        assert.equal(errors.length, 1);
        assert.equal(
          errors[0]?.message,
          "A peer violated the wire protocol, its connection is closed",
        );
      });
    });
  }

  const harmless: ReadonlyArray<readonly [string, readonly Uint8Array[]]> = [
    ["a head that is not msgpack", [frameBytesOfRaw(request, 1, Uint8Array.of(0xc1, 0xff))]],
    ["a request that is not an array", [frameBytesOf({ kind: request, streamId: 1, head: "x" })]],
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
      "a message that the parser rejects",
      [
        frameBytesOf({ ...opening, head: ["test.chat", null, { text: "" }] }),
        frameBytesOf({ kind: message, streamId: 1, head: { index: "x" } }, new Uint8Array(9000)),
      ],
    ],
  ];
  for (const [title, bytes] of harmless) {
    it(`gets an error for ${title}, and keeps its connection`, async () => {
      await withRawPeer(async ({ fixture, peer }) => {
        peer.send(...bytes);
        await fixture.clock.advance(20);
        const answer = peer.frames().at(-1);
        assert.ok(answer?.kind === FRAME_KINDS.error || answer?.kind === FRAME_KINDS.cancel);
        const { code } = parseErrorData(answer.head);
        assert.ok(code === "PROTOCOL_ERROR" || code === "UNSUPPORTED", code);
        peer.send(
          frameBytesOf({ kind: request, streamId: 2, head: ["test.echo", 99, { text: "" }] }),
        );
        await fixture.clock.advance(20);
        assert.equal(peer.frames().at(-1)?.kind, FRAME_KINDS.response);
      });
    });
  }

  it("gets a shortened error if the error is too long to be sent", async () => {
    await withRawPeer(async ({ fixture, address }) => {
      const peer = await fixture.settle(RawPeer.connect(fixture.client.network, address));
      peer.hello({ limits: { ...DEFAULT_WIRE_LIMITS, headBytesMax: 1024 } });
      const open = { kind: FRAME_KINDS.request, flags: FLAG_STREAM, streamId: 1 };
      const message = { kind: FRAME_KINDS.message, streamId: 1 };
      peer.send(
        frameBytesOf({ ...open, head: ["test.chat", 5000, { text: "hello" }] }),
        frameBytesOf({ ...message, head: { index: "x".repeat(100_000) } }),
      );
      await fixture.clock.advance(100);
      const cancelFrame = peer.frames().find(({ kind }) => kind === FRAME_KINDS.cancel);
      assert.equal(parseErrorData(cancelFrame?.head).code, "PROTOCOL_ERROR");
      peer.destroy();
    });
  });

  it("gets TOO_LARGE for a message with a large head, before it is decoded", async () => {
    await withRawPeer(async ({ fixture, peer }) => {
      const open = { kind: FRAME_KINDS.request, flags: FLAG_STREAM, streamId: 1 };
      const message = { kind: FRAME_KINDS.message, streamId: 1 };
      peer.send(
        frameBytesOf({ ...open, head: ["test.chat", 5000, { text: "hello" }] }),
        frameBytesOf({ ...message, head: { index: "x".repeat(300_000) } }),
      );
      await fixture.clock.advance(100);
      const cancelFrame = peer.frames().find(({ kind }) => kind === FRAME_KINDS.cancel);
      const { code, message: text } = parseErrorData(cancelFrame?.head);
      assert.equal(code, "TOO_LARGE");
      assert.match(text, /^Cannot read a message: expected at most 262144 bytes: it has 300\d+$/);
    });
  });

  it("gets OVERLOADED for every call above the limit", async () => {
    await withRawPeer(async ({ fixture, peer }) => {
      for (let streamId = 1; streamId <= 60; streamId += 1) {
        peer.send(frameBytesOf({ kind: request, streamId, head: waiting }, new Uint8Array(5000)));
      }
      await fixture.clock.advance(20);
      const errors = peer.frames().filter(({ kind }) => kind === FRAME_KINDS.error);
      assert.equal(errors.length, 10);
      assert.ok(errors.every(({ head }) => parseErrorData(head).code === "OVERLOADED"));
    });
  });

  it("can send message, end and cancel frames of closed streams", async () => {
    await withRawPeer(async ({ fixture, peer }) => {
      for (let round = 0; round < 50; round += 1) {
        const streamId = 7;
        peer.send(
          frameBytesOf({ kind: message, streamId, head: { index: 1 } }, new Uint8Array(9000)),
          frameBytesOf({ kind: FRAME_KINDS.end, streamId }),
          frameBytesOf({ kind: FRAME_KINDS.cancel, streamId, head: { code: "CANCELLED" } }),
        );
        await fixture.clock.advance(5);
      }
      assert.ok(!peer.isClosed);
    });
  });

  it("can disconnect in the middle of a body, and the slab of the body is released", async () => {
    await withRawPeer(async ({ fixture, peer }) => {
      const bytes = frameBytesOf(
        { kind: request, streamId: 1, head: waiting },
        new Uint8Array(500_000),
      );
      peer.send(bytes.subarray(0, 300_000));
      await fixture.clock.advance(20);
      assert.ok(fixture.server.slabs.acquiredBytes > 0);
      peer.destroy();
      await fixture.clock.advance(20);
    });
  });

  for (let seed = 1; seed <= 150; seed += 1) {
    it(`does not affect other connections with random bytes (seed ${seed})`, async () => {
      const random = new SeededRandom(seed);
      await withRawPeer(async ({ fixture, peer }) => {
        for (let round = 0; round < 30 && !peer.isClosed; round += 1) {
          peer.send(randomFrame(random));
          await fixture.clock.advance(random.integer(5));
        }
      });
    });
  }
});

function frameBytesOfRaw(kind: number, streamId: number, head: Uint8Array): Uint8Array {
  return Uint8Array.from([...header([kind, 0, 0, 0, streamId, 0, 0, 0, head.length]), ...head]);
}

/**
 * Returns a valid frame, in one of three cases with a few changed bytes. A frame of random bytes
 * would test only the check of the header.
 */
function randomFrame(random: SeededRandom): Uint8Array {
  const kinds = Object.values(FRAME_KINDS);
  const heads = [waiting, ["test.chat", null, { text: "" }], { index: 3 }, 5000, undefined];
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
