import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer, connect as netConnect, type Socket } from "node:net";
import { describe, it } from "node:test";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { TcpNetwork } from "../../../shared/platform/tcp-network.ts";
import { adoptWithUserBuffer } from "../../../shared/platform/user-buffer.ts";
import type { Link, Listener } from "../../../shared/ports/network.ts";

const MIB = 1024 * 1024;

/** Collects the bytes of a link, in buffers of the given size. */
class Sink {
  readonly chunks: Uint8Array[] = [];
  readonly closed: Promise<Error | null>;
  receivedBytes = 0;
  bufferCount = 0;
  onBytes: () => void = () => {};

  constructor(link: Link, bufferBytes = 65_536) {
    let buffer = new Uint8Array(bufferBytes);
    this.closed = new Promise((resolve) => {
      link.start({
        buffer: () => {
          this.bufferCount += 1;
          buffer = new Uint8Array(bufferBytes);
          return buffer;
        },
        onBytes: (count) => {
          assert.ok(count >= 1 && count <= buffer.length);
          this.chunks.push(buffer.subarray(0, count));
          this.receivedBytes += count;
          this.onBytes();
        },
        onClosed: resolve,
      });
    });
  }

  bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  async until(count: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.onBytes = () => {
        if (this.receivedBytes >= count) resolve();
      };
      this.onBytes();
    });
  }
}

interface Scene {
  readonly near: Link;
  readonly far: Link;
  readonly listener: Listener;
}

async function withLinks(
  network: TcpNetwork,
  test: (scene: Scene) => Promise<void>,
): Promise<void> {
  let onFar: (link: Link) => void = () => {};
  const accepted = new Promise<Link>((resolve) => {
    onFar = resolve;
  });
  const listener = await network.listen("127.0.0.1:0", onFar);
  const near = await network.connect(listener.address, { timeoutMs: 2000 });
  const far = await accepted;
  try {
    await test({ near, far, listener });
  } finally {
    near.destroy();
    far.destroy();
    await listener.close();
  }
}

/** The pattern repeats after this many bytes. */
const PERIOD_BYTES = 256 * 1024;

function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const drawnLength = Math.min(length, PERIOD_BYTES);
  for (let index = 0; index < drawnLength; index += 1) {
    bytes[index] = index * 31 + seed + (index >> 10);
  }
  for (let filled = drawnLength; filled < length; filled *= 2) bytes.copyWithin(filled, 0, filled);
  return bytes;
}

const ways: ReadonlyArray<readonly [string, () => TcpNetwork]> = [
  ["reading accepted connections into the given buffers", () => new TcpNetwork()],
  ["copying from accepted connections", () => new TcpNetwork({ adopt: () => null })],
];

for (const [title, makeNetwork] of ways) {
  describe(`TCP, ${title}`, () => {
    it("transfers bytes in order in both directions", async () => {
      await withLinks(makeNetwork(), async ({ near, far }) => {
        const [toNear, toFar] = [new Sink(near, 1000), new Sink(far, 1000)];
        const sent = pattern(3_000_001, 1);
        const answer = pattern(2_000_003, 2);
        await Promise.all([
          near.write([
            sent.subarray(0, 10),
            sent.subarray(10, 1_000_000),
            sent.subarray(1_000_000),
          ]),
          far.write([answer]),
          toFar.until(sent.length),
          toNear.until(answer.length),
        ]);
        assert.ok(toFar.bytes().equals(sent));
        assert.ok(toNear.bytes().equals(answer));
      });
    });

    it("stops reading at a pause, slows the sender, and continues at the resume", async () => {
      await withLinks(makeNetwork(), async ({ near, far }) => {
        const sink = new Sink(far);
        new Sink(near);
        const body = pattern(MIB, 3);
        await near.write([body.subarray(0, 10)]);
        await sink.until(10);
        far.pause();
        let writtenCount = 0;
        const writes = Array.from({ length: 64 }, () =>
          near.write([body]).then(() => {
            writtenCount += 1;
          }),
        );
        await new Promise((resolve) => setTimeout(resolve, 100));
        const received = sink.receivedBytes;
        assert.ok(received <= 10 + 65_536, `${received} bytes came during the pause`);
        assert.ok(writtenCount < 64, "the system does not accept all bytes");
        far.resume();
        await Promise.all(writes);
        await sink.until(10 + 64 * MIB);
        assert.ok(
          sink
            .bytes()
            .subarray(10, 10 + MIB)
            .equals(body),
        );
      });
    });

    it("can be paused by onBytes, in the middle of a read", async () => {
      await withLinks(makeNetwork(), async ({ near, far }) => {
        new Sink(near);
        let pausedBytes = -1;
        const sink = new Sink(far, 100);
        sink.onBytes = () => {
          if (pausedBytes >= 0) return;
          far.pause();
          pausedBytes = sink.receivedBytes;
        };
        const body = pattern(50_000, 4);
        await near.write([body]);
        await new Promise((resolve) => setTimeout(resolve, 50));
        assert.equal(sink.receivedBytes, pausedBytes);
        far.resume();
        await sink.until(body.length);
        assert.ok(sink.bytes().equals(body));
      });
    });

    it("reports an orderly close to both ends, after the queued bytes", async () => {
      await withLinks(makeNetwork(), async ({ near, far }) => {
        const [toNear, toFar] = [new Sink(near), new Sink(far)];
        const body = pattern(5 * MIB, 5);
        near.write([body]).catch(() => {});
        near.close();
        assert.equal(await toFar.closed, null);
        assert.equal(await toNear.closed, null);
        assert.ok(toFar.bytes().equals(body));
      });
    });

    it("rejects a write on a closed link with CONNECTION_LOST", async () => {
      await withLinks(makeNetwork(), async ({ near, far }) => {
        const [toNear, toFar] = [new Sink(near), new Sink(far)];
        far.destroy();
        await toFar.closed;
        await toNear.closed;
        const write = near.write([new Uint8Array(10), new Uint8Array(10)]);
        await assert.rejects(write, (error) => isAshlarError(error, "CONNECTION_LOST"));
      });
    });

    it("stops accepting at close, and leaves open links open", async () => {
      await withLinks(makeNetwork(), async ({ near, far, listener }) => {
        new Sink(near);
        const sink = new Sink(far);
        await listener.close();
        const attempt = makeNetwork().connect(listener.address, { timeoutMs: 1000 });
        await assert.rejects(attempt, (error) => isAshlarError(error, "UNAVAILABLE"));
        await near.write([new Uint8Array(5)]);
        await sink.until(5);
      });
    });
  });
}

describe("TCP", () => {
  it("reads accepted connections into the given buffers on this version of Node", async () => {
    const accepted = new Promise<Socket>((resolve, reject) => {
      const server = createServer({ pauseOnConnect: true }, (socket) => {
        server.close();
        const onread = { buffer: () => new Uint8Array(10), callback: () => {} };
        const adopted = adoptWithUserBuffer(socket, onread);
        if (adopted === null) reject(new Error("This version of Node does not support adoption"));
        else resolve(adopted);
      });
      server.listen(0, "127.0.0.1", () => {
        const address = server.address();
        assert.ok(typeof address === "object" && address !== null);
        netConnect(address.port, "127.0.0.1").on("error", () => {});
      });
    });
    (await accepted).destroy();
  });

  it("fails with UNAVAILABLE and the reason for a port without a listener", async () => {
    const network = new TcpNetwork();
    const listener = await network.listen("127.0.0.1:0", () => {});
    await listener.close();
    await assert.rejects(network.connect(listener.address, { timeoutMs: 1000 }), (error) => {
      assert.ok(isAshlarError(error, "UNAVAILABLE"));
      assert.equal(error.message, `Cannot connect to ${listener.address}: connection refused`);
      return true;
    });
  });

  it("fails with UNAVAILABLE at the timeout for a host that does not answer", async () => {
    // TEST-NET-1 (RFC 5737): no host has this address. Some networks reject it immediately.
    const attempt = new TcpNetwork().connect("192.0.2.1:9", { timeoutMs: 50 });
    await assert.rejects(attempt, (error) => isAshlarError(error, "UNAVAILABLE"));
  });

  it("fails with CANCELLED if the caller aborts before or during the attempt", async () => {
    const network = new TcpNetwork();
    const signal = AbortSignal.abort();
    const late = network.connect("127.0.0.1:9", { timeoutMs: 1000, signal });
    await assert.rejects(late, (error) => isAshlarError(error, "CANCELLED"));
    const controller = new AbortController();
    const options = { timeoutMs: 5000, signal: controller.signal };
    const attempt = network.connect("192.0.2.1:9", options);
    controller.abort();
    await assert.rejects(attempt, (error) => isAshlarError(error, "CANCELLED"));
  });

  it("fails with ADDRESS_IN_USE, with the address and a hint", async () => {
    const network = new TcpNetwork();
    const listener = await network.listen("127.0.0.1:0", () => {});
    await assert.rejects(
      network.listen(listener.address, () => {}),
      (error) => {
        assert.ok(isAshlarError(error, "ADDRESS_IN_USE"));
        assert.ok(error.message.includes(listener.address));
        assert.ok(error.hint);
        return true;
      },
    );
    await listener.close();
  });

  it("listens on IPv6", async (context) => {
    const network = new TcpNetwork();
    const listener = await network.listen("[::1]:0", (link) => link.destroy()).catch(() => null);
    if (listener === null) {
      context.diagnostic("this machine has no IPv6");
      return;
    }
    const link = await network.connect(listener.address, { timeoutMs: 1000 });
    link.destroy();
    await listener.close();
  });
});

/** Opens 1,000 connections to the port at once. Prints how many are established after 500 ms. */
const CONNECT_MANY = `
const { connect } = require("node:net");
let connected = 0;
for (let each = 0; each < 1_000; each += 1) {
  connect(Number(process.argv[1]), "127.0.0.1").on("connect", () => (connected += 1)).on("error", () => {});
}
let before = -1;
setInterval(() => {
  if (connected === 1_000 || connected === before) {
    console.log(connected);
    process.exit();
  }
  before = connected;
}, 500);
`;

describe("a listener whose process is busy", () => {
  const isSmall = Number(readFileSync("/proc/sys/net/core/somaxconn", "utf8")) < 1_000;
  it("keeps 1,000 new connections waiting", { skip: isSmall }, async () => {
    const listener = await new TcpNetwork().listen("127.0.0.1:0", (link) => link.destroy());
    const port = listener.address.split(":")[1] as string;
    // This process accepts nothing until the other one has ended.
    const { stdout } = spawnSync(process.execPath, ["-e", CONNECT_MANY, port], {
      encoding: "utf8",
    });
    await listener.close();
    assert.equal(stdout.trim(), "1000");
  });
});
