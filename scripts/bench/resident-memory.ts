import type { LocalCluster } from "../../client/cli/cluster/local-cluster.ts";
import { readProcessStatus } from "../../shared/platform/procfs.ts";
import { leaderNode } from "./leader-node.ts";

/** Resident memory of a process in bytes (proc(5) status). */
export interface ResidentMemory {
  /** VmRSS: anonymous memory and mapped file pages. The kernel may drop the latter. */
  readonly total: number;
  readonly anonymous: number;
  readonly mapped: number;
}

/** Returns the memory of a process. */
export function residentMemoryOf(pid: number): ResidentMemory {
  const bytesOf = (field: string): number => {
    const bytes = readProcessStatus(pid, field);
    if (bytes === null) throw new Error(`/proc/${pid}/status has no ${field}`);
    return bytes;
  };
  return {
    total: bytesOf("VmRSS"),
    anonymous: bytesOf("RssAnon"),
    mapped: bytesOf("RssFile"),
  };
}

/** Returns the memory of the current leader. */
export async function leaderMemory(cluster: LocalCluster): Promise<ResidentMemory> {
  return residentMemoryOf((await leaderNode(cluster)).pid);
}
