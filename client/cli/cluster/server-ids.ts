import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AshlarError } from "../../../shared/base/errors.ts";
import { shellWord } from "../../../shared/display/shell-word.ts";
import type { LocalNode } from "../../../shared/platform/local-cluster-file.ts";
import { readTextFile } from "../../../shared/platform/readable-file.ts";
import { nodePaths } from "./layout.ts";

/*
 * The file `server-id` of a chunkserver has the id of its first start, and a line feed. It is not a field of
 * cluster.json: version 0.1.0 refuses that file if it has a field that it does not know.
 */

/** The identity of a data directory: docs/on-disk-format.md. */
const IDENTITY_FILE = "chunkserver.json";
const IDENTITY_BYTES_MAX = 64 * 1024;
const SERVER_ID = /^[0-9a-f]{32}$/;

/** Records the ids of the chunkservers that have none yet, from their data directories. */
export async function recordServerIds(
  directory: string,
  nodes: readonly LocalNode[],
): Promise<void> {
  for (const node of nodes) {
    if (node.role === "master" || (await recordedId(directory, node)) !== null) continue;
    const serverId = await serverIdIn(directory, node);
    if (serverId !== null)
      await writeFile(nodePaths(directory, node.name).serverId, `${serverId}\n`);
  }
}

/** Forgets the recorded ids of those nodes whose data directory has another id or none. */
export async function forgetLostIds(directory: string, nodes: readonly LocalNode[]): Promise<void> {
  for (const node of nodes) {
    const serverId = await recordedId(directory, node);
    if (serverId === null || (await serverIdIn(directory, node)) === serverId) continue;
    await rm(nodePaths(directory, node.name).serverId, { force: true });
  }
}

/**
 * Checks that the data directory of a chunkserver is the one that it had before. An emptied one, or
 * that of a disk that is not mounted, would start as a new server, and the chunks of the old one
 * would be lost.
 *
 * @throws {AshlarError} WRONG_IDENTITY
 */
export async function checkServerId(directory: string, node: LocalNode): Promise<void> {
  const { name } = node;
  const serverId = await recordedId(directory, node);
  if (serverId === null) return;
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

/** Returns the recorded id of a chunkserver; null if there is none, or the file is damaged. */
async function recordedId(directory: string, { name }: LocalNode): Promise<string | null> {
  const text = (await textOf(nodePaths(directory, name).serverId))?.trim() ?? "";
  return SERVER_ID.test(text) ? text : null;
}

/** Returns the server id in a data directory; null if there is no readable one. */
async function serverIdIn(directory: string, { name }: LocalNode): Promise<string | null> {
  try {
    const text = await textOf(join(nodePaths(directory, name).data, IDENTITY_FILE));
    const { serverId } = JSON.parse(text ?? "{}") as { readonly serverId?: unknown };
    return typeof serverId === "string" ? serverId : null;
  } catch {
    return null; // The chunkserver itself reports a damaged identity.
  }
}

/** Returns the content of a file; null if it cannot be read. */
async function textOf(path: string): Promise<string | null> {
  try {
    return await readTextFile(path, { bytesMax: IDENTITY_BYTES_MAX, isWaitRefused: true });
  } catch {
    return null;
  }
}
