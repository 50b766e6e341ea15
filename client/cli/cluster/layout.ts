import { join, resolve } from "node:path";
import type { LocalNode } from "../../../shared/platform/local-cluster-file.ts";

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

/** Returns the number in the name of a node. For a master it is the member id. */
export function numberOf({ name }: LocalNode): number {
  return Number(name.slice(1));
}
