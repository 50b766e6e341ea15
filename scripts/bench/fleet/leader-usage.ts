import { readFileSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { nodePaths } from "../../../client/cli/cluster/layout.ts";
import type { LocalCluster } from "../../../client/cli/cluster/local-cluster.ts";
import { readProcessStat } from "../../../shared/platform/procfs.ts";
import { leaderNode } from "../leader-node.ts";
import { type ResidentMemory, residentMemoryOf } from "../resident-memory.ts";

/** Time and bytes that the leader has used so far, and the space that it takes now. */
export interface Usage {
  /** Process of the leader: the differences of two usages need the same one. */
  readonly pid: number;
  readonly atMs: number;
  readonly cpuSeconds: number;
  /** Bytes read and written by system calls (proc(5) io): sockets and files. */
  readonly ioBytes: number;
  readonly memory: ResidentMemory;
  /** Allocated bytes of the log and of the state in its data directory. */
  readonly logBytes: number;
  readonly storeBytes: number;
}

/** Returns what the current leader has used. */
export async function leaderUsage(cluster: LocalCluster): Promise<Usage> {
  const { node, pid } = await leaderNode(cluster);
  const { data } = nodePaths(cluster.directory, node.name);
  const storeBytes = await allocatedBytes(join(data, "stores"));
  return {
    pid,
    atMs: performance.now(),
    cpuSeconds: readProcessStat(pid)?.cpuSeconds ?? Number.NaN,
    ioBytes: ioBytesOf(pid),
    memory: residentMemoryOf(pid),
    logBytes: (await allocatedBytes(data)) - storeBytes,
    storeBytes,
  };
}

function ioBytesOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/io`, "utf8");
  const field = (name: string): number =>
    Number(new RegExp(`^${name}: (\\d+)$`, "m").exec(text)?.[1] ?? Number.NaN);
  return field("rchar") + field("wchar");
}

/** Returns the allocated bytes of all files below `directory`: an LMDB file has holes. */
async function allocatedBytes(directory: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(directory, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    const { blocks } = await stat(join(entry.parentPath, entry.name)).catch(() => ({ blocks: 0 }));
    bytes += blocks * 512;
  }
  return bytes;
}
