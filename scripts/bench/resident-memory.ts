import type { LocalCluster } from "../../client/cli/cluster/local-cluster.ts";
import { runningPid } from "../../client/cli/cluster/node-process.ts";
import { readProcessStatus } from "../../shared/platform/procfs.ts";

/** What a process has in memory, in bytes: proc(5) status. */
export interface ResidentMemory {
  /** VmRSS: what is its own, and the pages of files that it maps, which the kernel may drop. */
  readonly total: number;
  readonly anonymous: number;
  readonly mapped: number;
  /** VmHWM: the highest that VmRSS has been. */
  readonly highest: number;
}

function residentMemoryOf(pid: number): ResidentMemory {
  const bytesOf = (field: string): number => {
    const bytes = readProcessStatus(pid, field);
    if (bytes === null) throw new Error(`/proc/${pid}/status has no ${field}`);
    return bytes;
  };
  const [total, anonymous] = [bytesOf("VmRSS"), bytesOf("RssAnon")];
  return { total, anonymous, mapped: bytesOf("RssFile"), highest: bytesOf("VmHWM") };
}

/** Of the master that leads now. */
export async function leaderMemory(cluster: LocalCluster): Promise<ResidentMemory> {
  const { masters } = await cluster.waitUntilServing(60_000);
  const leader = masters.find((master) => master.role === "leader");
  const node = cluster.nodes.find((each) => each.address === leader?.address);
  const pid = node === undefined ? null : await runningPid(cluster.directory, node);
  if (pid === null) throw new Error("A cluster that serves has a leader that runs");
  return residentMemoryOf(pid);
}
