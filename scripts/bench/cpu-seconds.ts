import type { LocalCluster } from "../../client/cli/cluster/local-cluster.ts";
import { runningPid } from "../../client/cli/cluster/node-process.ts";
import { readProcessStat } from "../../shared/platform/procfs.ts";

/** Processor time of all processes of the cluster and of this process, which is the client. */
export class CpuMeter {
  readonly #pids: readonly number[];

  private constructor(pids: readonly number[]) {
    this.#pids = pids;
  }

  /** Reads the process ids of the cluster's running nodes. */
  static async of(cluster: LocalCluster): Promise<CpuMeter> {
    const pids = await Promise.all(
      cluster.nodes.map((node) => runningPid(cluster.directory, node)),
    );
    return new CpuMeter([process.pid, ...pids.filter((pid) => pid !== null)]);
  }

  /** Returns the processor time used so far, in seconds. */
  seconds(): number {
    return this.#pids.reduce((total, pid) => total + (readProcessStat(pid)?.cpuSeconds ?? 0), 0);
  }
}
