import type { LocalCluster } from "../../../client/cli/cluster/local-cluster.ts";
import { connect } from "../../../client/connect.ts";
import type { ChunkId } from "../../../shared/base/ids.ts";
import { runMany } from "../rates.ts";
import { SimulatedServer } from "./simulated-server.ts";

/** Number of servers that register at the same time. */
const STARTS_IN_PARALLEL = 32;

/** The simulated chunkservers of a cluster, with ids from 1. */
export class SimulatedFleet implements AsyncDisposable {
  readonly servers: readonly SimulatedServer[];
  /** First order of a copy of each chunk, on the clock of `performance.now()`. */
  readonly orderedMs = new Map<ChunkId, number>();

  private constructor(cluster: LocalCluster, joinToken: string, count: number) {
    const onCopyOrder = (chunkId: ChunkId): void => {
      if (!this.orderedMs.has(chunkId)) this.orderedMs.set(chunkId, performance.now());
    };
    this.servers = Array.from(
      { length: count },
      (_, index) => new SimulatedServer(cluster, index + 1, { joinToken, onCopyOrder }),
    );
  }

  /** Starts `count` servers. Resolves when all are registered. */
  static async start(cluster: LocalCluster, count: number): Promise<SimulatedFleet> {
    const fleet = new SimulatedFleet(cluster, await makeJoinToken(cluster), count);
    await runMany({ count, parallel: STARTS_IN_PARALLEL }, (index) =>
      fleet.#server(index).start(index / count),
    );
    return fleet;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.servers.map((server) => server.stop()));
  }

  /** Key of receipts. */
  get chunkKey(): Uint8Array {
    return this.#server(0).chunkKey;
  }

  /** Heartbeats of all servers in a second. */
  get heartbeatsPerSecond(): number {
    return (this.servers.length * 1_000) / this.#server(0).intervalMs;
  }

  /** Number of copies that the servers have made and the leader has recorded. */
  get copiedCount(): number {
    return this.servers.reduce((total, server) => total + server.copiedCount, 0);
  }

  /** Returns `count` different servers for the copies of a chunk, by its number. */
  holdersOf(number: number, count: number): SimulatedServer[] {
    // The step varies, so that each server shares chunks with many others.
    const first = number * 7 + Math.floor(number / this.servers.length) * 13;
    const step = 1 + (number % Math.max(1, Math.floor(this.servers.length / count) - 1));
    return Array.from({ length: count }, (_, copy) => this.#server(first + copy * step));
  }

  /** Returns a server by its number from 0. Numbers beyond the last start again at 0. */
  #server(number: number): SimulatedServer {
    return this.servers[number % this.servers.length] as SimulatedServer;
  }
}

async function makeJoinToken({ masters, clusterId }: LocalCluster): Promise<string> {
  await using fileSystem = await connect({ masters, clusterId });
  return await fileSystem.enrolment.makeToken();
}
