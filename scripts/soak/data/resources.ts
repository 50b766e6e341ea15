import { readdirSync, readlinkSync } from "node:fs";
import { readProcessStatus } from "../../../shared/platform/procfs.ts";
import type { Journal } from "../journal.ts";
import type { SoakCluster } from "../soak-cluster.ts";

const MIB = 1024 * 1024;
const SAMPLE_MS = 500;
/** Largest anonymous memory of a process, by its role (proc(5), RssAnon). */
const MEMORY_BYTES_MAX = { client: 330 * MIB, master: 300 * MIB, chunkserver: 330 * MIB };

type Role = keyof typeof MEMORY_BYTES_MAX;

/** Descriptors of a process. */
export interface Descriptors {
  readonly sockets: number;
  readonly others: number;
}

/** Watches the memory of all processes of a run. */
export class Resources {
  readonly #cluster: SoakCluster;
  readonly #journal: Journal;
  readonly #timer: NodeJS.Timeout;
  readonly #reported = new Set<string>();
  /** Largest memory of a process of each role, in bytes. */
  readonly memoryBytesMax: Record<Role, number> = { client: 0, master: 0, chunkserver: 0 };

  constructor(cluster: SoakCluster, journal: Journal) {
    this.#cluster = cluster;
    this.#journal = journal;
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Returns the descriptors of each process by its name. */
  descriptors(): Map<string, Descriptors> {
    return new Map(this.#processes().map(({ name, pid }) => [name, descriptorsOf(pid)]));
  }

  #processes(): { readonly name: string; readonly role: Role; readonly pid: number }[] {
    const nodes = this.#cluster.nodes.filter(({ isRunning }) => isRunning);
    return [
      { name: "client", role: "client", pid: process.pid },
      ...nodes.map(({ name, role, pid }) => ({ name, role, pid })),
    ];
  }

  #sample(): void {
    for (const { name, role, pid } of this.#processes()) {
      const bytes = readProcessStatus(pid, "RssAnon") ?? 0;
      this.memoryBytesMax[role] = Math.max(this.memoryBytesMax[role], bytes);
      if (bytes <= MEMORY_BYTES_MAX[role] || this.#reported.has(name)) continue;
      this.#reported.add(name);
      const limit = MEMORY_BYTES_MAX[role] / MIB;
      this.#journal.violation(
        `${name} uses ${Math.round(bytes / MIB)} MiB: expected at most ${limit}`,
      );
    }
  }
}

function descriptorsOf(pid: number): Descriptors {
  let sockets = 0;
  let others = 0;
  for (const number of listOf(`/proc/${pid}/fd`)) {
    if (targetOf(`/proc/${pid}/fd/${number}`).startsWith("socket:")) sockets += 1;
    else others += 1;
  }
  return { sockets, others };
}

/** Returns the names in a directory of proc(5). Empty if the process has ended. */
function listOf(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Returns the target of a link of proc(5). Empty if the descriptor was closed. */
function targetOf(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return "";
  }
}
