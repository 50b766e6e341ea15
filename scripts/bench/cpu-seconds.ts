import { readFileSync } from "node:fs";
import type { LocalCluster } from "../../client/cli/cluster/local-cluster.ts";
import { runningPid } from "../../client/cli/cluster/node-process.ts";

/** Clock ticks a second that proc(5) counts in; USER_HZ is 100 on Linux. */
const TICKS_PER_SECOND = 100;

/** User and system time of a process with all its threads, in seconds (proc(5) stat, fields 14 and 15). */
function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** CPU time of every process of the cluster and of this one, which is the client. */
export class CpuMeter {
  readonly #pids: readonly number[];

  private constructor(pids: readonly number[]) {
    this.#pids = pids;
  }

  static async of(cluster: LocalCluster): Promise<CpuMeter> {
    const pids = await Promise.all(
      cluster.nodes.map((node) => runningPid(cluster.directory, node)),
    );
    return new CpuMeter([process.pid, ...pids.filter((pid) => pid !== null)]);
  }

  seconds(): number {
    return this.#pids.reduce((total, pid) => total + cpuSecondsOf(pid), 0);
  }
}
