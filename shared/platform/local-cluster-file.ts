import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { AshlarError } from "../base/errors.ts";
import { shellWord } from "../display/shell-word.ts";
import { readTextFile } from "./readable-file.ts";

/* Unknown fields are ignored, so that a later version can add some. Version 0.1.0 refuses a file that has any. */
const nodeSchema = v.object({
  /** "m1", "m2", … for masters, "c1", "c2", … for chunkservers. */
  name: v.pipe(v.string(), v.regex(/^[mc][1-9]\d*$/)),
  role: v.picklist(["master", "chunkserver"]),
  /** "host:port" of the internal wire. */
  address: v.string(),
  /** "host:port" of health and metrics. */
  http: v.string(),
});
const clusterFileSchema = v.object({
  schema: v.literal("ashlar.local-cluster/1"),
  clusterId: v.string(),
  nodes: v.array(nodeSchema),
});

/** One process of a local cluster. */
export type LocalNode = v.InferOutput<typeof nodeSchema>;
/** Content of cluster.json in the directory of a local cluster. */
export type ClusterFile = v.InferOutput<typeof clusterFileSchema>;

const CLUSTER_FILE = "cluster.json";
const CLUSTER_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Reads cluster.json in `directory`; null if the file does not exist.
 *
 * @throws {AshlarError} INVALID_ARGUMENT for a file that cannot be read or is damaged
 */
export async function readClusterFile(directory: string): Promise<ClusterFile | null> {
  const path = join(directory, CLUSTER_FILE);
  let text: string;
  try {
    text = await readTextFile(path, { bytesMax: CLUSTER_BYTES_MAX, isWaitRefused: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new AshlarError("INVALID_ARGUMENT", `Cannot read ${path}: ${(error as Error).message}`, {
      cause: error,
    });
  }
  try {
    return v.parse(clusterFileSchema, JSON.parse(text));
  } catch (error) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot read ${path}: expected a file that \`ashlar cluster up\` wrote`,
      { cause: error },
    );
  }
}

/** As `readClusterFile`. @throws {AshlarError} NOT_FOUND with the command that makes a cluster */
export async function requireClusterFile(directory: string): Promise<ClusterFile> {
  const cluster = await readClusterFile(directory);
  if (cluster !== null) return cluster;
  throw new AshlarError(
    "NOT_FOUND",
    `Cannot find a local cluster in ${directory}: no such file: ${CLUSTER_FILE}`,
    { hint: `ashlar cluster up --dir ${shellWord(directory)}` },
  );
}

/**
 * Replaces cluster.json atomically, by a rename. The caller has written the files of every node
 * before: a directory with cluster.json is complete.
 */
export async function writeClusterFile(directory: string, cluster: ClusterFile): Promise<void> {
  const path = join(directory, CLUSTER_FILE);
  await writeFile(`${path}.new`, `${JSON.stringify(cluster, null, 2)}\n`);
  await rename(`${path}.new`, path);
}
