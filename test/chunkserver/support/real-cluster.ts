import assert from "node:assert/strict";
import { parseChunkserverConfig } from "../../../chunkserver/config.ts";
import { type RunningChunkserver, startChunkserver } from "../../../chunkserver/server.ts";
import { Closers } from "../../../shared/flow/closers.ts";
import { LmdbStores } from "../../../shared/platform/lmdb-store.ts";
import { NodeDisk } from "../../../shared/platform/node-disk.ts";
import { PrometheusMetrics } from "../../../shared/platform/prometheus-metrics.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { SystemRandom } from "../../../shared/platform/system-random.ts";
import { TcpNetwork } from "../../../shared/platform/tcp-network.ts";
import type { Disk } from "../../../shared/ports/disk.ts";
import type { ServerLocation } from "../../../shared/protocol/intent.ts";
import { connect } from "../../../shared/wire/connect.ts";
import type { Connection, PeerIdentity } from "../../../shared/wire/rpc.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import { CLIENT, MemoryLog, makeWireDeps, type TestWireDeps } from "../../support/wire-fixture.ts";
import { hasher } from "./chunks.ts";
import { FakeMaster } from "./fake-master.ts";

export interface TestServer {
  readonly server: RunningChunkserver;
  readonly location: ServerLocation;
  readonly directory: string;
  readonly log: MemoryLog;
  /** Stops the server before the cluster ends. */
  stop(): Promise<void>;
}

export interface ServerOptions {
  readonly config?: Readonly<Record<string, unknown>>;
  /** Returns the disk that the server uses, for example a wrapper that injects faults. */
  readonly wrapDisk?: (disk: Disk) => Disk;
  /** Data directory of a stopped server, for a restart. Default: a new directory. */
  readonly directory?: string;
}

/** A fake master, and real chunkservers on loopback and on real disks. */
export class TestCluster implements AsyncDisposable {
  readonly master: FakeMaster;
  readonly client: TestWireDeps;
  readonly #closers: Closers;

  private constructor(master: FakeMaster, closers: Closers) {
    this.master = master;
    this.#closers = closers;
    this.client = makeClient();
  }

  static async start(): Promise<TestCluster> {
    const closers = new Closers();
    return new TestCluster(closers.use(await FakeMaster.start()), closers);
  }

  async startServer(options: ServerOptions = {}): Promise<TestServer> {
    const path = options.directory ?? this.#closers.use(await TempDirectory.make()).path;
    const log = new MemoryLog();
    const disk = new NodeDisk(path);
    const server = await startChunkserver(
      parseChunkserverConfig({
        dataDir: path,
        masters: [this.master.address],
        listen: "127.0.0.1:0",
        http: null,
        reserveBytes: 0,
        scrubBytesPerSecond: 0,
        stopGraceMs: 200,
        ...options.config,
      }),
      {
        clock: new SystemClock(),
        random: new SystemRandom(),
        network: new TcpNetwork(),
        hasher,
        log,
        metrics: new PrometheusMetrics(),
      },
      {
        disk: options.wrapDisk?.(disk) ?? disk,
        stores: new LmdbStores(`${path}/stores`),
      },
    );
    let isStopped = false;
    const stop = async (): Promise<void> => {
      if (isStopped) return;
      isStopped = true;
      await server[Symbol.asyncDispose]();
    };
    this.#closers.defer(stop);
    await eventually("the server is registered", () => server.ready().ready);
    const location = this.master.servers.get(server.serverId);
    assert.ok(location !== undefined);
    return { server, location, directory: path, log, stop };
  }

  /**
   * Opens a connection that is closed together with the cluster. With `own`, it shares no memory with the
   * others, as in a process of its own.
   */
  async connect(
    address: string,
    {
      own = false,
      identity = CLIENT,
    }: { readonly own?: boolean; readonly identity?: PeerIdentity } = {},
  ): Promise<Connection> {
    const deps = own ? makeClient() : this.client;
    const connection = await connect(deps, address, { identity, timeoutMs: 5000 });
    this.#closers.defer(() => connection.close(0));
    return connection;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closers[Symbol.asyncDispose]();
  }
}

function makeClient(): TestWireDeps {
  return makeWireDeps({ network: new TcpNetwork(), clock: new SystemClock() });
}

/** Polls in real time until `condition` holds. Fails after 10 s. */
export async function eventually(
  description: string,
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  const clock = new SystemClock();
  const endMs = clock.monotonicMs() + 10_000;
  while (!(await condition())) {
    assert.ok(clock.monotonicMs() < endMs, `within 10 s: ${description}`);
    await clock.sleep(5);
  }
}
