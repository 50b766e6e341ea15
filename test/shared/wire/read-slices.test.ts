import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { concatBytes } from "../../../shared/base/bytes.ts";
import type { AshlarError } from "../../../shared/base/errors.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { TcpNetwork } from "../../../shared/platform/tcp-network.ts";
import type { Role } from "../../../shared/protocol/roles.ts";
import { COVERED_BODY } from "../../../shared/wire/byte-budget.ts";
import { FRAME_KINDS } from "../../../shared/wire/frame.ts";
import type { Frame } from "../../../shared/wire/frame-reader.ts";
import { DEFAULT_WIRE_LIMITS } from "../../../shared/wire/limits.ts";
import { Multiplexer } from "../../../shared/wire/multiplexer.ts";
import { ReadSlices } from "../../../shared/wire/read-slices.ts";
import { RpcServer } from "../../../shared/wire/rpc-server.ts";
import { Lane } from "../../../shared/wire/turn-queue.ts";
import { frameBytesOf, RawPeer } from "../../support/raw-peer.ts";
import { CLIENT, echo, makeWireDeps, SERVER } from "../../support/wire-fixture.ts";

/** A clock in whose time each frame takes 0.5 ms or more, and whose turns can wait. */
class SlowClock extends SystemClock {
  turnCount = 0;
  #nowMs = 0;
  #isHeld = false;
  #release: () => void = () => {};
  #released: Promise<void> = Promise.resolve();

  override monotonicMs(): number {
    this.#nowMs += 0.5;
    return this.#nowMs;
  }

  override async yieldTurn(): Promise<void> {
    await super.yieldTurn();
    this.turnCount += 1;
    while (this.#isHeld) await this.#released;
  }

  /** Lets turns that begin now wait until `release`. */
  hold(): void {
    this.#isHeld = true;
    this.#released = new Promise((resolve) => {
      this.#release = resolve;
    });
  }

  release(): void {
    this.#isHeld = false;
    this.#release();
  }
}

/** One end of a link that reads in turns, and a peer that sends any bytes. */
interface Scene {
  readonly clock: SlowClock;
  readonly peer: RawPeer;
  readonly multiplexer: Multiplexer;
  /** The stream ids of the requests that were read, in order. */
  readonly ids: number[];
  /** Resolves when the end is closed, to its error. */
  readonly closed: Promise<AshlarError | null>;
  /** Messages of the log. */
  readonly messages: () => string[];
}

async function withScene(
  network: TcpNetwork,
  test: (scene: Scene) => Promise<void>,
): Promise<void> {
  const clock = new SlowClock();
  const deps = makeWireDeps({ network, clock });
  const turns = { slices: new ReadSlices(clock), lane: new Lane("client") };
  const ids: number[] = [];
  let onClosed = (_error: AshlarError | null): void => {};
  const closed = new Promise<AshlarError | null>((resolve) => {
    onClosed = resolve;
  });
  const handler = {
    readTurns: turns,
    onFrame: ({ header, body }: Frame): void => {
      ids.push(header.streamId);
      body.release();
    },
    leaseBody: () => COVERED_BODY,
    onDropped: (): void => assert.fail("all frames are wanted"),
    expirables: () => [],
    onClosed,
  };
  let onMultiplexer = (_multiplexer: Multiplexer): void => {};
  const accepted = new Promise<Multiplexer>((resolve) => {
    onMultiplexer = resolve;
  });
  const listener = await network.listen("127.0.0.1:0", (link) => {
    const multiplexer = new Multiplexer(deps, link, DEFAULT_WIRE_LIMITS, handler);
    multiplexer.establish(DEFAULT_WIRE_LIMITS, handler);
    onMultiplexer(multiplexer);
  });
  const peer = await RawPeer.connect(network, listener.address);
  const multiplexer = await accepted;
  const messages = (): string[] => deps.log.lines.map(({ message }) => message);
  try {
    await test({ clock, peer, multiplexer, ids, closed, messages });
  } finally {
    clock.release();
    multiplexer.fail(null);
    peer.destroy();
    await listener.close();
  }
  assert.equal(deps.slabs.acquiredBytes, 0, "all slabs are released");
}

function request(streamId: number, textBytes = 10, bodyBytes = 0): Uint8Array {
  const head = [echo.name, 600_000, { text: "x".repeat(textBytes) }];
  const body = new Uint8Array(bodyBytes);
  return frameBytesOf({ kind: FRAME_KINDS.request, streamId, head }, body);
}

/** Small requests with ids from `first` on. */
function burst(count: number, first = 1): Uint8Array {
  return concatBytes(Array.from({ length: count }, (_, index) => request(first + index)));
}

const idsTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

async function eventually(isTrue: () => boolean): Promise<void> {
  const clock = new SystemClock();
  const startMs = clock.monotonicMs();
  while (!isTrue()) {
    assert.ok(clock.monotonicMs() - startMs < 20_000, `within 20 s: ${isTrue}`);
    await clock.sleep(2);
  }
}

const ways: ReadonlyArray<readonly [string, () => TcpNetwork]> = [
  ["reading into the given buffers", () => new TcpNetwork()],
  ["copying", () => new TcpNetwork({ adopt: () => null })],
];

for (const [title, makeNetwork] of ways) {
  describe(`a TCP connection that is read in several turns, ${title}`, () => {
    it("reads no request after its end while some wait for a turn", async () => {
      await withScene(makeNetwork(), async ({ clock, peer, ids, multiplexer, closed }) => {
        clock.hold();
        peer.send(burst(500));
        await eventually(() => ids.length > 0);
        const count = ids.length;
        multiplexer.fail(null);
        assert.equal(await closed, null);
        clock.release();
        for (let turn = 0; turn < 10; turn += 1) await clock.yieldTurn();
        assert.equal(ids.length, count);
        await peer.closed;
      });
    });

    it("slows the peer while requests wait for a turn, and then reads all of them", async () => {
      await withScene(makeNetwork(), async ({ clock, peer, ids }) => {
        clock.hold();
        let writtenCount = 0;
        const first = burst(500);
        peer.send(first);
        await eventually(() => ids.length > 0);
        const bodyBytes = 4 * 1024 * 1024;
        const parts = Array.from({ length: 16 }, (_, index) => request(501 + index, 10, bodyBytes));
        const writes = parts.map((part) =>
          peer.write(part).then(() => {
            writtenCount += 1;
          }),
        );
        await new SystemClock().sleep(100);
        assert.ok(ids.length < 500, `${ids.length} requests are read`);
        assert.ok(writtenCount < 16, "the system does not accept all bytes");
        clock.release();
        await Promise.all(writes);
        await eventually(() => ids.length === 516);
        assert.deepEqual(ids, idsTo(516));
      });
    });

    it("logs why it is closed, if that is no orderly end", async () => {
      await withScene(makeNetwork(), async ({ peer, multiplexer, closed, messages }) => {
        peer.pause();
        multiplexer.postError(FRAME_KINDS.error, 1, new Error("not read"));
        await new SystemClock().sleep(20);
        peer.destroy(); // With unread bytes: the system resets the connection.
        const error = await closed;
        assert.equal(error?.code, "CONNECTION_LOST");
        assert.deepEqual(messages(), ["A connection was lost"]);
      });
    });
  });
}

describe("the close of a TCP connection that is read in several turns", () => {
  it("reads a burst to its end before it sees that the peer has closed the connection", async () => {
    await withScene(new TcpNetwork(), async ({ peer, ids, closed, messages }) => {
      peer.send(burst(3000));
      peer.send(request(3001, 200_000), request(3002, 10, 300_000), request(3003, 65_000));
      peer.send(burst(1000, 3004));
      peer.close();
      assert.equal(await closed, null);
      assert.deepEqual(ids, idsTo(4003));
      assert.deepEqual(messages(), [], "an orderly end");
    });
  });

  it("sees the close of the peer only after the requests that wait for a turn", async () => {
    await withScene(new TcpNetwork(), async ({ clock, peer, ids, closed, multiplexer }) => {
      clock.hold();
      peer.send(burst(500));
      peer.close();
      await eventually(() => ids.length > 0);
      await new SystemClock().sleep(50);
      assert.ok(ids.length < 500 && multiplexer.isOpen, `${ids.length} requests are read`);
      clock.release();
      assert.equal(await closed, null);
      assert.deepEqual(ids, idsTo(500));
    });
  });
});

describe("a burst of small requests to a server", () => {
  /** Sends requests on several connections. Returns the largest number that was read in one turn. */
  async function readPerTurn(role: Role): Promise<number> {
    const clock = new SlowClock();
    const network = new TcpNetwork();
    const server = new RpcServer(makeWireDeps({ network, clock }), { identity: () => SERVER });
    const counts = new Map<number, number>();
    const method = {
      ...echo,
      /** Checked when a request is read, before its call starts. */
      get callers(): readonly Role[] {
        counts.set(clock.turnCount, (counts.get(clock.turnCount) ?? 0) + 1);
        return echo.callers;
      },
    };
    server.onCall(method, async (received) => {
      received.release();
      return { text: "", bodyBytes: 0 };
    });
    const address = await server.listen("127.0.0.1:0");
    const peers = await Promise.all([1, 2, 3, 4].map(() => RawPeer.connect(network, address)));
    for (const peer of peers) {
      peer.hello({ identity: { ...CLIENT, role } });
      peer.send(burst(300));
    }
    const answered = (peer: RawPeer): boolean => peer.frames().length === 301;
    await eventually(() => peers.every(answered));
    for (const peer of peers) assert.ok(!peer.isClosed);
    for (const peer of peers) peer.destroy();
    await server.close(1000);
    return Math.max(...counts.values());
  }

  it("is read in several turns if clients or chunkservers send it", async () => {
    for (const role of ["client", "chunkserver"] as const) {
      const most = await readPerTurn(role);
      assert.ok(most <= 12, `${most} requests of ${role}s are read in one turn`);
    }
  });

  it("is read at once if masters send it", async () => {
    assert.ok((await readPerTurn("master")) > 100);
  });
});
