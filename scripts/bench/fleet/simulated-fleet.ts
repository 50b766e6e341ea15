import type { LocalCluster } from "../../../client/cli/cluster/local-cluster.ts";
import { connect } from "../../../client/connect.ts";
import type { ChunkId } from "../../../shared/base/ids.ts";
import { runMany } from "../rates.ts";
import { holdersOf, locationOf } from "./chunk-plan.ts";
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
      (_, index) => new SimulatedServer(cluster, locationOf(index), { joinToken, onCopyOrder }),
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

  /** Returns the servers with the copies of a chunk, by its number. */
  holdersOf(number: number): SimulatedServer[] {
    return holdersOf(number, this.servers.length).map((holder) => this.#server(holder));
  }

  /** Counts the copies of the first `chunks` chunks, which the state has already, for the reports. */
  countPrepared(chunks: number): void {
    for (let number = 0; number < chunks; number += 1) {
      for (const server of this.holdersOf(number)) server.chunkCount += 1;
    }
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
