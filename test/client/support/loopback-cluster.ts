import assert from "node:assert/strict";
import { parseChunkserverConfig } from "../../../chunkserver/config.ts";
import { type RunningChunkserver, startChunkserver } from "../../../chunkserver/server.ts";
import { freeAddresses } from "../../../client/cli/cluster/free-ports.ts";
import { connect } from "../../../client/connect.ts";
import type { FileSystem } from "../../../client/file-system.ts";
import type { ConnectOptions } from "../../../client/options.ts";
import type { MasterConfig } from "../../../master/config.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { ClusterId, MemberId } from "../../../shared/base/ids.ts";
import { Closers } from "../../../shared/flow/closers.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import { LmdbStores } from "../../../shared/platform/lmdb-store.ts";
import { NodeDisk } from "../../../shared/platform/node-disk.ts";
import { PrometheusMetrics } from "../../../shared/platform/prometheus-metrics.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { SystemRandom } from "../../../shared/platform/system-random.ts";
import { TcpNetwork } from "../../../shared/platform/tcp-network.ts";
import type { Disk } from "../../../shared/ports/disk.ts";
import type { Env } from "../../../shared/ports/env.ts";
import type { Network } from "../../../shared/ports/network.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";
import {
  type RealMaster,
  type RealMasters,
  startRealMaster,
  startRealMasters,
} from "./real-masters.ts";

const CLUSTER_ID = "c".repeat(32) as ClusterId;

/** A running chunkserver of the cluster. */
export interface ClusterServer {
  readonly running: RunningChunkserver;
  /** Its data directory. */
  readonly directory: string;
  readonly log: MemoryLog;
  /** Stops the chunkserver and closes its connections. */
  stop(): Promise<void>;
}

/** Settings of a chunkserver. */
export interface ServerSettings {
  /** Overrides keys of the config. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Replaces the disk, to inject delays or faults. */
  readonly wrapDisk?: (disk: Disk) => Disk;
  /** Data directory. Default: a temporary one. */
  readonly directory?: string;
}

/** Real masters and chunkservers on loopback with real disks, and clients of them. */
export class LoopbackCluster implements AsyncDisposable {
  readonly masters: RealMasters;
  readonly servers: ClusterServer[] = [];
  readonly #closers: Closers;
  #joinToken: Promise<string | undefined> | null = null;

  private constructor(masters: RealMasters, closers: Closers) {
    this.masters = masters;
    this.#closers = closers;
  }

  static async start(
    serverCount: number,
    settings: Partial<MasterConfig> & {
      readonly masterCount?: number;
      readonly server?: ServerSettings;
      /** The network of the masters. Default: TCP. */
      readonly masterNetwork?: Network;
    } = {},
  ): Promise<LoopbackCluster> {
    const { server = {}, masterCount = 1, masterNetwork, ...master } = settings;
    const network = masterNetwork === undefined ? {} : { network: masterNetwork };
    await using closers = new Closers();
    const masters = closers.use(
      await startRealMasters({
        count: masterCount,
        clusterId: CLUSTER_ID,
        makeEnv: () => ({ ...makeEnv(new MemoryLog()), ...network }),
        settings: master,
      }),
    );
    const cluster = new LoopbackCluster(masters, closers.move());
    await eventually("a leader is elected", () => masters.leader() !== undefined);
    for (let count = 0; count < serverCount; count += 1) await cluster.addServer(server);
    return cluster;
  }

  get masterAddresses(): readonly string[] {
    return this.masters.members.map((member) => member.address);
  }

  /** Starts a master and adds it to the group. Resolves when the leader knows it as a learner. */
  async addLearner(): Promise<RealMaster> {
    const leader = this.masters.leader();
    assert.ok(leader !== undefined, "there is a leader");
    const addresses = [...this.masterAddresses, ...(await freeAddresses(0, 1))];
    const position = addresses.length - 1;
    const learner = await startRealMaster(
      { clusterId: CLUSTER_ID, makeEnv: () => makeEnv(new MemoryLog()), settings: { join: true } },
      { addresses, position, closers: this.#closers },
    );
    const added = { id: (position + 1) as MemberId, address: learner.address };
    const request = { add: [added], promote: [], remove: [] };
    await leader.running.consensus.changeMembers(request);
    return learner;
  }

  /** Starts another chunkserver. Resolves when it is registered. */
  async addServer(settings: ServerSettings = {}): Promise<ClusterServer> {
    const directory = settings.directory ?? this.#closers.use(await TempDirectory.make()).path;
    const log = new MemoryLog();
    const disk = new NodeDisk(directory);
    this.#joinToken ??= this.#makeJoinToken();
    const joinToken = await this.#joinToken;
    const running = await startChunkserver(
      parseChunkserverConfig({
        dataDir: directory,
        masters: this.masterAddresses,
        listen: "127.0.0.1:0",
        http: null,
        reserveBytes: 0,
        scrubBytesPerSecond: 0,
        stopGraceMs: 0,
        ...(joinToken === undefined ? {} : { joinToken }),
        ...settings.config,
      }),
      makeEnv(log),
      {
        disk: settings.wrapDisk?.(disk) ?? disk,
        stores: new LmdbStores(`${directory}/stores`),
      },
    );
    let isStopped = false;
    const stop = async (): Promise<void> => {
      if (isStopped) return;
      isStopped = true;
      await running[Symbol.asyncDispose]();
    };
    this.#closers.defer(stop);
    await eventually("the server is registered", () => running.ready().ready);
    const server = { running, directory, log, stop };
    this.servers.push(server);
    return server;
  }

  /** Returns a token for new servers. Undefined in a cluster whose feature level is too low for it. */
  async #makeJoinToken(): Promise<string | undefined> {
    const fs = await this.connect();
    try {
      return await fs.enrolment.makeToken();
    } catch (error) {
      if (isAshlarError(error, "VERSION_MISMATCH")) return undefined;
      throw error;
    }
  }

  /** Connects a client, which is closed with the cluster. */
  async connect(options: Partial<ConnectOptions> = {}): Promise<FileSystem> {
    const fs = await connect({ masters: this.masterAddresses, ...options });
    this.#closers.use(fs);
    return fs;
  }

  serverById(serverId: string): ClusterServer {
    const server = this.servers.find((each) => each.running.serverId === serverId);
    assert.ok(server !== undefined, "the server belongs to this cluster");
    return server;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closers[Symbol.asyncDispose]();
  }
}

export function makeEnv(log: MemoryLog): Env {
  return {
    clock: new SystemClock(),
    random: new SystemRandom(),
    network: new TcpNetwork(),
    hasher: createHasher().hasher,
    log,
    metrics: new PrometheusMetrics(),
  };
}

/** Resolves when `condition` holds. Fails after 10 s of real time. */
export async function eventually(what: string, condition: () => boolean): Promise<void> {
  const clock = new SystemClock();
  const endMs = clock.monotonicMs() + 10_000;
  while (!condition()) {
    assert.ok(clock.monotonicMs() < endMs, `within 10 s: ${what}`);
    await clock.sleep(5);
  }
}
