/**
 * Measures the wire between two processes on one machine: `npx tsx scripts/bench-wire.ts [GiB]`.
 * Prints the rate of small calls, and the rate of bulk data compared with a bare socket that makes
 * the same reads and writes.
 */

import { fork } from "node:child_process";
import { connect as netConnect } from "node:net";
import { fileURLToPath } from "node:url";
import * as v from "valibot";
import { SlabPool } from "../shared/flow/slabs.ts";
import { SystemClock } from "../shared/platform/system-clock.ts";
import { TcpNetwork } from "../shared/platform/tcp-network.ts";
import type { Log } from "../shared/ports/log.ts";
import { defineCall, defineStream } from "../shared/protocol/method.ts";
import { ANY_ROLE } from "../shared/protocol/roles.ts";
import type { ClientConnection } from "../shared/wire/client-connection.ts";
import { connect, type WireDeps } from "../shared/wire/connect.ts";
import { RpcServer } from "../shared/wire/rpc-server.ts";

const MIB = 1024 * 1024;
const WINDOW = 4;

const log: Log = {
  debug: () => {},
  info: () => {},
  warn: console.warn,
  error: console.error,
  child: () => log,
};
const deps: WireDeps = {
  network: new TcpNetwork(),
  clock: new SystemClock(),
  log,
  slabs: new SlabPool({ bytesMax: 256 * MIB }),
};

const add = defineCall(
  "bench.add",
  ANY_ROLE,
  v.object({ path: v.string(), count: v.number() }),
  v.object({ count: v.number() }),
);
const cpu = defineCall("bench.cpu", ANY_ROLE, v.object({}), v.object({ seconds: v.number() }));
const put = defineStream("bench.put", ANY_ROLE, {
  open: v.object({}),
  up: v.object({ offsetBytes: v.number(), hashes: v.instance(Uint8Array) }),
  down: v.object({ bytes: v.number() }),
});

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

async function serve(): Promise<void> {
  const server = new RpcServer(deps, {
    identity: () => ({ role: "chunkserver", clusterId: null, name: "bench" }),
  });
  server.onCall(add, async (request) => {
    request.release();
    return { count: request.head.count + 1 };
  });
  server.onCall(cpu, async () => ({ seconds: cpuSeconds() }));
  server.onStream(put, async (request, stream) => {
    request.release();
    for (let message = await stream.receive(); message !== null; message = await stream.receive()) {
      const bytes = message.head.offsetBytes + message.body.length;
      message.release();
      await stream.send({ bytes });
    }
  });
  const address = await server.listen("127.0.0.1:0");
  const slab = new Uint8Array(MIB);
  const raw = await deps.network.listen("127.0.0.1:0", (link) =>
    link.start({ buffer: () => slab, onBytes: () => {}, onClosed: () => {} }),
  );
  process.once("disconnect", () => process.exit());
  process.send?.({ address, rawAddress: raw.address });
}

async function timed(
  title: string,
  remote: ClientConnection,
  work: () => Promise<{ calls?: number; bytes?: number }>,
): Promise<void> {
  const remoteCpu = async (): Promise<number> =>
    (await remote.call(cpu, {}, { timeoutMs: 10_000 })).head.seconds;
  const [startMs, ownCpu, otherCpu] = [performance.now(), cpuSeconds(), await remoteCpu()];
  const { calls, bytes } = await work();
  const seconds = (performance.now() - startMs) / 1000;
  const [own, other] = [cpuSeconds() - ownCpu, (await remoteCpu()) - otherCpu];
  if (calls !== undefined) {
    const each = (((own + other) / calls) * 1e6).toFixed(1);
    console.log(`${title}: ${Math.round(calls / seconds)} calls/s, ${each} CPU-us per call`);
  }
  if (bytes !== undefined) {
    const gib = bytes / 1024 ** 3;
    console.log(
      `${title}: ${Math.round(bytes / MIB / seconds)} MiB/s, CPU-s/GiB: ` +
        `sender ${(own / gib).toFixed(3)}, receiver ${(other / gib).toFixed(3)}, ` +
        `both ${((own + other) / gib).toFixed(3)}`,
    );
  }
}

async function callMany(connection: ClientConnection, count: number, width: number): Promise<void> {
  let left = count;
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const request = { path: "/a/b/c", count: left };
      (await connection.call(add, request, { timeoutMs: 10_000 })).release();
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
}

async function sendBulk(connection: ClientConnection, bytes: number): Promise<void> {
  const stream = connection.open(put, {}, { timeoutMs: 600_000 });
  const bodies = Array.from({ length: WINDOW }, () => new Uint8Array(MIB).fill(1));
  const hashes = new Uint8Array(512);
  const reading = (async () => {
    for (let ack = await stream.receive(); ack !== null; ack = await stream.receive()) {
      ack.release();
    }
  })();
  const sends: Array<Promise<void>> = [];
  for (let offsetBytes = 0; offsetBytes < bytes; offsetBytes += MIB) {
    const body = bodies[(offsetBytes / MIB) % WINDOW];
    sends.push(stream.send({ offsetBytes, hashes }, body));
    if (sends.length === WINDOW) await sends.shift();
  }
  await Promise.all(sends);
  stream.end();
  await reading;
}

async function sendRaw(address: string, bytes: number): Promise<void> {
  const [host = "", port = ""] = address.split(":");
  const socket = netConnect({ host, port: Number(port) });
  const bodies = Array.from({ length: WINDOW }, () => new Uint8Array(MIB).fill(1));
  let left = bytes / MIB;
  const worker = async (body: Uint8Array): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await new Promise((resolve) => socket.write(body, resolve));
    }
  };
  await Promise.all(bodies.map(worker));
  await new Promise<void>((resolve) => socket.end(resolve));
}

async function measure(addresses: { address: string; rawAddress: string }): Promise<void> {
  const connection = await connect(deps, addresses.address, {
    identity: { role: "client", clusterId: null, name: "bench" },
    timeoutMs: 5000,
  });
  const bytes = Number(process.argv[2] ?? 4) * 1024 ** 3;
  await callMany(connection, 50_000, 64);
  for (const [count, width] of [
    [60_000, 1],
    [300_000, 64],
    [500_000, 512],
  ] as const) {
    await timed(`calls, ${width} in flight`, connection, async () => {
      await callMany(connection, count, width);
      return { calls: count };
    });
  }
  await sendBulk(connection, MIB * 256);
  for (let round = 0; round < 2; round += 1) {
    await timed("bulk over a bare socket", connection, async () => {
      await sendRaw(addresses.rawAddress, bytes);
      return { bytes };
    });
    await timed("bulk over a stream", connection, async () => {
      await sendBulk(connection, bytes);
      return { bytes };
    });
  }
  await connection.close();
}

if (process.argv[2] === "serve") {
  await serve();
} else {
  const child = fork(fileURLToPath(import.meta.url), ["serve"]);
  const addresses = await new Promise<{ address: string; rawAddress: string }>((resolve) => {
    child.once("message", (message) => resolve(message as { address: string; rawAddress: string }));
  });
  await measure(addresses);
  child.disconnect();
}
