import { randomBytes } from "node:crypto";
import { mkdir, rm, rmdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { stringify } from "smol-toml";
import { AshlarError } from "../../../shared/base/errors.ts";
import {
  type ClusterFile,
  type LocalNode,
  writeClusterFile,
} from "../../../shared/platform/local-cluster-file.ts";

/*
 * A local cluster is a directory:
 *
 *     cluster.json        the nodes and their addresses (shared/platform/local-cluster-file.ts)
 *     m1/ … c1/ …         one for each node: config.toml, data/, log, server-id (chunkservers), and
 *                         process.json while the process runs
 */

/** Paths of the files of one node. */
export interface NodePaths {
  readonly directory: string;
  readonly config: string;
  readonly data: string;
  readonly log: string;
  readonly process: string;
  /** Of a chunkserver only: see `server-ids.ts`. */
  readonly serverId: string;
}

/** Returns the paths of the files of the node `name`. */
export function nodePaths(clusterDirectory: string, name: string): NodePaths {
  const directory = join(resolve(clusterDirectory), name);
  return {
    directory,
    config: join(directory, "config.toml"),
    data: join(directory, "data"),
    log: join(directory, "log"),
    process: join(directory, "process.json"),
    serverId: join(directory, "server-id"),
  };
}

/** Size, addresses and settings of a new local cluster. */
export interface ClusterPlan {
  /** Number of masters. */
  readonly masters: number;
  /** Number of chunkservers. */
  readonly chunkservers: number;
  /** Two addresses per node, in the order m1, HTTP of m1, m2, …, c1, HTTP of c1, …. */
  readonly addresses: readonly string[];
  /** Config keys of every master. They override the defaults of a local cluster. */
  readonly masterSettings: Readonly<Record<string, string | number | boolean>>;
  /** Config keys of every chunkserver. They override the defaults of a local cluster. */
  readonly chunkserverSettings: Readonly<Record<string, string | number | boolean>>;
}

/** Writes the files of a new cluster. Starts no process. */
export async function createClusterFiles(
  directory: string,
  plan: ClusterPlan,
): Promise<ClusterFile> {
  const nodes: LocalNode[] = [];
  const addNodes = (role: LocalNode["role"], count: number): void => {
    for (let number = 1; number <= count; number += 1) {
      const [address, http] = plan.addresses.slice(nodes.length * 2, nodes.length * 2 + 2);
      if (address === undefined || http === undefined)
        throw new Error("The plan has two addresses for each node");
      nodes.push({ name: `${role === "master" ? "m" : "c"}${number}`, role, address, http });
    }
  };
  addNodes("master", plan.masters);
  addNodes("chunkserver", plan.chunkservers);
  const clusterId = randomBytes(16).toString("hex");
  const cluster: ClusterFile = { schema: "ashlar.local-cluster/1", clusterId, nodes };
  await mkdir(directory, { recursive: true });
  for (const node of nodes) await writeNodeConfig(directory, cluster, node, plan);
  await writeClusterFile(directory, cluster);
  return cluster;
}

/** Writes the files of one more node. A new master is configured to join the Raft group. */
export async function addNodeFiles(
  directory: string,
  before: ClusterFile,
  added: { readonly role: LocalNode["role"]; readonly addresses: readonly string[] },
): Promise<{ readonly cluster: ClusterFile; readonly node: LocalNode }> {
  const { role } = added;
  const [address = "", http = ""] = added.addresses;
  const numbers = before.nodes.filter((node) => node.role === role).map(numberOf);
  const number = Math.max(0, ...numbers) + 1;
  const node: LocalNode = {
    name: `${role === "master" ? "m" : "c"}${number}`,
    role,
    address,
    http,
  };
  const cluster: ClusterFile = { ...before, nodes: [...before.nodes, node] };
  await writeNodeConfig(directory, cluster, node, {
    chunkservers: cluster.nodes.filter((each) => each.role === "chunkserver").length,
    masterSettings: { join: true },
    chunkserverSettings: {},
  });
  try {
    await writeClusterFile(directory, cluster);
  } catch (error) {
    // Otherwise every later node of this name is refused: see `writeNewFile`.
    const paths = nodePaths(directory, node.name);
    await rm(paths.config, { force: true });
    await rmdir(paths.directory).catch(() => {}); // Not empty: it has files of another cluster.
    throw error;
  }
  return { cluster, node };
}

/** Returns the number in the name of a node. For a master it is the member id. */
export function numberOf({ name }: LocalNode): number {
  return Number(name.slice(1));
}

async function writeNodeConfig(
  directory: string,
  cluster: ClusterFile,
  node: LocalNode,
  plan: Pick<ClusterPlan, "chunkservers" | "masterSettings" | "chunkserverSettings">,
): Promise<void> {
  const paths = nodePaths(directory, node.name);
  const masters = cluster.nodes.filter((each) => each.role === "master");
  const common = { dataDir: paths.data, clusterId: cluster.clusterId, http: node.http };
  const config =
    node.role === "master"
      ? {
          ...common,
          memberId: numberOf(node),
          members: masters.map((master) => `${numberOf(master)}=${master.address}`),
          // A local cluster is for experiments: a lost server is detected and repaired in seconds.
          serverDeadMs: 3_000,
          repairDelayMs: 2_000,
          defaultCopies: Math.max(1, Math.min(3, plan.chunkservers)),
          defaultCopiesMin: Math.max(1, Math.min(2, plan.chunkservers)),
          defaultRacksMin: 1,
          ...plan.masterSettings,
        }
      : {
          ...common,
          masters: masters.map((master) => master.address),
          listen: node.address,
          // Many chunkservers share one disk, so each reserves little of it.
          reserveBytes: 256 * 1024 * 1024,
          ...plan.chunkserverSettings,
        };
  await mkdir(paths.directory, { recursive: true });
  await writeNewFile(paths.config, stringify(config));
}

/** A file of another cluster, whose cluster.json is lost, is kept. @throws {AshlarError} */
async function writeNewFile(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text, { flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new AshlarError("ALREADY_EXISTS", `Cannot write ${path}: file exists`, {
      cause: error,
      hint: "It belongs to a node that is not in cluster.json. Move its directory away",
    });
  }
}
