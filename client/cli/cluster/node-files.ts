import { randomBytes } from "node:crypto";
import { mkdir, rm, rmdir, writeFile } from "node:fs/promises";
import { stringify } from "smol-toml";
import { assert } from "../../../shared/base/assert.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import {
  type ClusterFile,
  type LocalNode,
  writeClusterFile,
} from "../../../shared/platform/local-cluster-file.ts";
import { nodePaths, numberOf } from "./layout.ts";
import { runningPid } from "./node-process.ts";

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
  assert(!before.nodes.some(({ name }) => name === node.name), "a node has a new name");
  const cluster: ClusterFile = { ...before, nodes: [...before.nodes, node] };
  await writeNodeConfig(directory, cluster, node, {
    chunkservers: cluster.nodes.filter((each) => each.role === "chunkserver").length,
    masterSettings: { join: true },
    chunkserverSettings: {},
  });
  try {
    await writeClusterFile(directory, cluster);
  } catch (error) {
    // Otherwise every later node of this name is refused: see `unlistedNode`.
    const paths = nodePaths(directory, node.name);
    await rm(paths.config, { force: true });
    await rmdir(paths.directory).catch(() => {}); // Not empty: it has files of another cluster.
    throw error;
  }
  return { cluster, node };
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
  try {
    await writeFile(paths.config, stringify(config), { flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw await unlistedNode(directory, node, error);
  }
}

/** Returns the error for files of a node that cluster.json does not list. The files are kept. */
async function unlistedNode(
  directory: string,
  node: LocalNode,
  cause: unknown,
): Promise<AshlarError> {
  const paths = nodePaths(directory, node.name);
  const pid = await runningPid(directory, node);
  const hint =
    pid === null
      ? `${node.name} is not in cluster.json and does not run. Move ${paths.directory} to another place`
      : `${node.name} is not in cluster.json and runs: restore its entry there, or stop process ${pid} first`;
  const message = `Cannot write ${paths.config}: file exists`;
  return new AshlarError("ALREADY_EXISTS", message, { cause, hint });
}
