import { join } from "node:path";
import { AshlarError } from "../../../shared/base/errors.ts";
import { shellWord } from "../../../shared/display/shell-word.ts";
import type { ClusterFile, LocalNode } from "../../../shared/platform/local-cluster-file.ts";
import { readTextFile } from "../../../shared/platform/readable-file.ts";
import { nodePaths } from "./layout.ts";

/** The identity of a data directory: docs/on-disk-format.md. */
const IDENTITY_FILE = "chunkserver.json";
const IDENTITY_BYTES_MAX = 64 * 1024;

/**
 * Returns the cluster with the server ids that its data directories have now. A node keeps the id
 * that was recorded before: `checkServerId` compares it.
 */
export async function withServerIds(directory: string, cluster: ClusterFile): Promise<ClusterFile> {
  const nodes = await Promise.all(
    cluster.nodes.map(async (node) => {
      if (node.role === "master" || node.serverId !== undefined) return node;
      const serverId = await serverIdIn(directory, node);
      return serverId === null ? node : { ...node, serverId };
    }),
  );
  return { ...cluster, nodes };
}

/**
 * Returns the cluster without the recorded ids of those of the named nodes whose data directory has
 * another id or none.
 */
export async function withoutLostIds(
  directory: string,
  cluster: ClusterFile,
  names: readonly string[],
): Promise<ClusterFile> {
  const nodes = await Promise.all(
    cluster.nodes.map(async (node) => {
      const { serverId, ...unknown } = node;
      const isKept =
        serverId === undefined ||
        !names.includes(node.name) ||
        (await serverIdIn(directory, node)) === serverId;
      return isKept ? node : unknown;
    }),
  );
  return { ...cluster, nodes };
}

/**
 * Checks that the data directory of a chunkserver is the one that it had before. An emptied one, or
 * that of a disk that is not mounted, would start as a new server, and the chunks of the old one
 * would be lost.
 *
 * @throws {AshlarError} WRONG_IDENTITY
 */
export async function checkServerId(directory: string, node: LocalNode): Promise<void> {
  const { name, serverId } = node;
  if (serverId === undefined) return;
  const found = await serverIdIn(directory, node);
  if (found === serverId) return;
  const { data } = nodePaths(directory, name);
  const problem = found === null ? "it has no identity" : `it belongs to ${found}`;
  const start = `ashlar cluster start --dir ${shellWord(directory)} ${name} --new-server`;
  throw new AshlarError(
    "WRONG_IDENTITY",
    `Cannot start ${name}: expected the data of server ${serverId} in ${data}: ${problem}`,
    { hint: `Mount the disk or restore the directory; or start it as a new server: ${start}` },
  );
}

/** Returns the server id in a data directory; null if there is no readable one. */
async function serverIdIn(directory: string, { name }: LocalNode): Promise<string | null> {
  const path = join(nodePaths(directory, name).data, IDENTITY_FILE);
  try {
    const text = await readTextFile(path, { bytesMax: IDENTITY_BYTES_MAX, isWaitRefused: true });
    const { serverId } = JSON.parse(text) as { readonly serverId?: unknown };
    return typeof serverId === "string" ? serverId : null;
  } catch {
    return null; // The chunkserver itself reports a damaged identity.
  }
}
