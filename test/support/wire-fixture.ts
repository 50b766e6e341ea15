import assert from "node:assert/strict";
import * as v from "valibot";
import { AshlarError } from "../../shared/base/errors.ts";
import type { ClusterId } from "../../shared/base/ids.ts";
import { SlabPool } from "../../shared/flow/slabs.ts";
import { SystemClock } from "../../shared/platform/system-clock.ts";
import { TcpNetwork } from "../../shared/platform/tcp-network.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Log, LogFields } from "../../shared/ports/log.ts";
import type { Network } from "../../shared/ports/network.ts";
import { defineCall, defineStream } from "../../shared/protocol/method.ts";
import { ANY_ROLE } from "../../shared/protocol/roles.ts";
import type { ClientConnection } from "../../shared/wire/client-connection.ts";
import { connect, type WireDeps } from "../../shared/wire/connect.ts";
import type { WireLimits } from "../../shared/wire/limits.ts";
import type { PeerIdentity } from "../../shared/wire/rpc.ts";
import { RpcServer } from "../../shared/wire/rpc-server.ts";
import { MemoryNetwork } from "./memory-network.ts";
import { SeededRandom } from "./seeded-random.ts";
import { VirtualClock } from "./virtual-clock.ts";

/* Shared by the tests of the wire. */

export const CLUSTER_A = "a".repeat(32) as ClusterId;
export const CLUSTER_B = "b".repeat(32) as ClusterId;

export const SERVER: PeerIdentity = { role: "chunkserver", clusterId: CLUSTER_A, name: "server" };
export const CLIENT: PeerIdentity = { role: "client", clusterId: CLUSTER_A, name: "client" };

export const echo = {
  ...defineCall(
    "test.echo",
    ANY_ROLE,
    v.object({ text: v.string() }),
    v.object({ text: v.string(), bodyBytes: v.number() }),
  ),
  requestBytesMax: 1024 * 1024,
  requestWorkMax: 200_000,
};

export const chat = defineStream("test.chat", ANY_ROLE, {
  open: v.object({ text: v.string() }),
  up: v.object({ index: v.number() }),
  down: v.object({ index: v.number() }),
});

/** A log that keeps its lines. */
export class MemoryLog implements Log {
  readonly lines: Array<{ readonly level: string; readonly message: string; fields: LogFields }> =
    [];

  debug(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: "debug", message, fields });
  }

  info(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: "info", message, fields });
  }

  warn(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: "warn", message, fields });
  }

  error(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: "error", message, fields });
  }

  child(): Log {
    return this;
  }
}

/** `WireDeps` with a log and random numbers that a test can inspect. */
export interface TestWireDeps extends WireDeps {
  readonly log: MemoryLog;
  readonly random: SeededRandom;
}

/** Returns the dependencies of one end of the wire. */
export function makeWireDeps(options: {
  readonly network: Network;
  readonly clock: Clock;
  readonly slabBytesMax?: number;
}): TestWireDeps {
  const { network, clock, slabBytesMax = 64 * 1024 * 1024 } = options;
  const slabs = new SlabPool({ bytesMax: slabBytesMax });
  return { network, clock, log: new MemoryLog(), slabs, random: new SeededRandom(1) };
}

/**
 * A network with the dependencies of a server and a client. Tests of the wire run on two networks:
 * real sockets, and a network in memory with virtual time.
 */
export interface WireFixture {
  readonly title: string;
  readonly server: TestWireDeps;
  readonly client: TestWireDeps;
  readonly address: string;
  /** Advances virtual time, if there is any, until `work` settles. Returns its value or throws. */
  settle<Result>(work: Promise<Result>): Promise<Result>;
}

/** Returns a fixture with real sockets. */
export function tcpFixture(options: { readonly slabBytesMax?: number } = {}): WireFixture {
  const deps = { network: new TcpNetwork(), clock: new SystemClock(), ...options };
  return {
    title: "TCP",
    server: makeWireDeps(deps),
    client: makeWireDeps(deps),
    address: "127.0.0.1:0",
    settle: (work) => work,
  };
}

/** A fixture with a network in memory. */
export interface MemoryWireFixture extends WireFixture {
  readonly clock: VirtualClock;
  readonly network: MemoryNetwork;
}

/** Returns a fixture with a network in memory and virtual time. */
export function memoryFixture(
  options: {
    readonly slabBytesMax?: number;
    readonly delayMs?: number;
    readonly bufferBytes?: number;
  } = {},
): MemoryWireFixture {
  const clock = new VirtualClock();
  const { delayMs = 1, bufferBytes = 1024 * 1024, ...slabs } = options;
  const network = new MemoryNetwork({ clock, delayMs: () => delayMs, bufferBytes });
  return {
    title: "memory",
    server: makeWireDeps({ network: network.host("server"), clock, ...slabs }),
    client: makeWireDeps({ network: network.host("client"), clock, ...slabs }),
    address: "server:0",
    clock,
    network,
    settle: (work) => clock.advanceFor(work, "the work of the test"),
  };
}

/** A server and a connection to it. */
export interface Pair {
  readonly server: RpcServer;
  readonly address: string;
  readonly connection: ClientConnection;
}

/** Options of `withPair`. */
export interface PairOptions {
  readonly register: (server: RpcServer) => void;
  readonly limits?: Partial<WireLimits>;
}

/** Runs `test` with a server and a connection to it. Checks that all slabs are released. */
export async function withPair(
  fixture: WireFixture,
  { register, limits = {} }: PairOptions,
  test: (pair: Pair) => Promise<void>,
): Promise<void> {
  const server = new RpcServer(fixture.server, { identity: () => SERVER, limits });
  register(server);
  const address = await server.listen(fixture.address);
  const options = { identity: CLIENT, timeoutMs: 5000, limits };
  const connection = await fixture.settle(connect(fixture.client, address, options));
  try {
    await test({ server, address, connection });
  } finally {
    await fixture.settle(connection.close(0));
    await fixture.settle(server.close(1000));
  }
  assert.equal(fixture.server.slabs.acquiredBytes, 0, "the server released all slabs");
  assert.equal(fixture.client.slabs.acquiredBytes, 0, "the client released all slabs");
}

/** Polls until `isTrue` returns true. Fails after 10 s. */
export async function until(fixture: WireFixture, isTrue: () => boolean): Promise<void> {
  const { clock } = fixture.client;
  const startMs = clock.monotonicMs();
  while (!isTrue()) {
    assert.ok(clock.monotonicMs() - startMs < 10_000, `within 10 s: ${isTrue}`);
    await fixture.settle(clock.sleep(1));
  }
}

/** Returns a check of an error's code, for `assert.rejects`. */
export function hasCode(code: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof AshlarError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  };
}
