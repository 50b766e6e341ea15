import { existsSync } from "node:fs";
import { copyFile, cp, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { nodePaths, numberOf } from "../../../client/cli/cluster/layout.ts";
import { LocalCluster } from "../../../client/cli/cluster/local-cluster.ts";
import { foundingRecord } from "../../../master/driver/open-driver.ts";
import type { NamespaceOperation } from "../../../master/namespace/command.ts";
import { FEATURE_LEVEL_MAX } from "../../../master/namespace/feature-levels.ts";
import { Namespace } from "../../../master/namespace/namespace.ts";
import { openIdentity } from "../../../master/storage/identity.ts";
import { StateStores } from "../../../master/storage/state-stores.ts";
import type { ClusterId, LogIndex, MemberId } from "../../../shared/base/ids.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import { LmdbStores } from "../../../shared/platform/lmdb-store.ts";
import type { LocalNode } from "../../../shared/platform/local-cluster-file.ts";
import { NodeDisk } from "../../../shared/platform/node-disk.ts";
import { quietLog } from "../../../shared/platform/quiet.ts";
import { SystemRandom } from "../../../shared/platform/system-random.ts";
import {
  CHUNK_BYTES,
  CHUNKS_PER_FILE,
  COPIES,
  chunkIdOf,
  DIRECTORY,
  directoryOf,
  FILES_PER_DIRECTORY,
  holdersOf,
  loadedPath,
  locationOf,
} from "./chunk-plan.ts";
import { EntryWriter } from "./entry-writer.ts";

const STORE = "state-1";

/** The settings of a cluster, as the defaults of a master. */
const FACTS = {
  chunkKey: new Uint8Array(32).fill(7),
  defaultClass: { name: "default", copies: COPIES, copiesMin: 2, racksMin: 2 },
  inlineBytesMax: 4 * 1024,
  historyRetentionMs: 24 * 60 * 60 * 1_000,
  feedBytesMax: 1024 ** 3,
  intentLifetimeMs: 10 * 60 * 1_000,
  sessionIdleMsMax: 10 * 60 * 1_000,
};

const ENROLMENT_KEY = new Uint8Array(32).fill(8);

const { hasher } = createHasher();

/** Size of a prepared state. */
export interface PreparedSize {
  readonly servers: number;
  readonly files: number;
}

/** A state in a directory, for every master of a new cluster. */
export interface PreparedState {
  readonly clusterId: string;
  /** Path of the file of the store. */
  readonly path: string;
}

/**
 * Returns the state in `directory`, or makes it: by the entries that masters apply to a new state. This
 * takes 0.2 to 0.7 ms of CPU time for each chunk, and a second run can use the same directory.
 *
 * @param members ids of the masters
 */
export async function prepareState(
  directory: string,
  size: PreparedSize,
  members: readonly number[],
): Promise<PreparedState> {
  const { servers, files } = size;
  const clusterId = chunkIdOf(servers * 1_000_000_000 + files).slice(0, 32) as ClusterId;
  const done = join(directory, `${servers}-${files}`);
  const path = join(done, STORE, "data.mdb");
  if (existsSync(done)) return { clusterId, path };
  const unfinished = `${done}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  const store = await new LmdbStores(unfinished).open(STORE);
  try {
    const filler = new Filler(Namespace.open({ store, hasher }));
    filler.found(clusterId, members as readonly MemberId[]);
    await filler.fill(size);
  } finally {
    await store.close();
  }
  await rename(unfinished, done);
  return { clusterId, path };
}

/**
 * Gives the masters of a stopped cluster the state, and the cluster its id. Each master starts as after
 * a snapshot: with an empty log and a state.
 */
export async function installState(directory: string, state: PreparedState): Promise<LocalCluster> {
  const cluster = await LocalCluster.open(directory);
  const masters = cluster.nodes.filter(({ role }) => role === "master");
  const configs = masters.map(({ name }) => nodePaths(directory, name).config);
  for (const file of [join(directory, "cluster.json"), ...configs]) {
    const text = await readFile(file, "utf8");
    await writeFile(file, text.replaceAll(cluster.clusterId, state.clusterId));
  }
  for (const node of masters)
    await installMaster(nodePaths(directory, node.name).data, node, state);
  return LocalCluster.open(directory);
}

/** Opens a copy of the state, below `directory`, for the time of `run`. */
export async function withCopy<Result>(
  { path }: PreparedState,
  directory: string,
  run: (namespace: Namespace) => Promise<Result>,
): Promise<Result> {
  // With the link of the store, without which it would be converted.
  const options = { recursive: true, verbatimSymlinks: true };
  await cp(dirname(path), join(directory, STORE), options);
  const store = await new LmdbStores(directory).open(STORE);
  try {
    return await run(Namespace.open({ store, hasher }));
  } finally {
    await store.close();
    await rm(directory, { recursive: true, force: true });
  }
}

async function installMaster(data: string, node: LocalNode, state: PreparedState): Promise<void> {
  await rm(data, { recursive: true, force: true });
  await mkdir(data);
  const disk = new NodeDisk(data);
  const stores = new LmdbStores(join(data, "stores"));
  const identity = {
    clusterId: state.clusterId as ClusterId,
    memberId: numberOf(node) as MemberId,
  };
  await openIdentity({ disk, hasher, random: new SystemRandom() }, identity);
  const states = await StateStores.open({
    disk,
    stores,
    hasher,
    log: quietLog,
    wasLogBegun: false,
  });
  const { name, store } = await states.openCurrent();
  await store.close();
  await copyFile(state.path, join(data, "stores", name, "data.mdb"));
}

/** Applies the entries of a prepared state. */
class Filler {
  readonly #writer: EntryWriter;

  constructor(namespace: Namespace) {
    this.#writer = new EntryWriter(namespace);
  }

  /** Applies the first entries of a cluster. */
  found(clusterId: ClusterId, members: readonly MemberId[]): void {
    this.#writer.apply(
      { kind: "bootstrap", nowMs: Date.now(), clusterId, ...FACTS },
      foundingRecord(members),
    );
    this.#writer.apply({
      kind: "raise-feature-level",
      level: FEATURE_LEVEL_MAX,
      enrolmentKey: ENROLMENT_KEY,
    });
  }

  async fill({ servers, files }: PreparedSize): Promise<void> {
    const writer = this.#writer;
    const nowMs = Date.now();
    for (let index = 0; index < servers; index += 1) {
      writer.apply({ kind: "register-server", nowMs, server: locationOf(index) });
    }
    writer.openSession();
    writer.transact(makeDirectory(DIRECTORY));
    for (let number = 0; number < files; number += 1) {
      if (number % FILES_PER_DIRECTORY === 0) writer.transact(makeDirectory(directoryOf(number)));
      writer.transact(putOf(number, servers, writer.namespace.appliedIndex));
      await writer.flushMany();
    }
    await writer.namespace.flush();
  }
}

export const OWNER = { uid: 0, gid: 0 };

export function makeDirectory(path: string): NamespaceOperation {
  const target = { path: Buffer.from(path) };
  return { kind: "make-directory", parents: false, target, mode: 0o755, ...OWNER };
}

function putOf(number: number, servers: number, intentIndex: LogIndex): NamespaceOperation {
  const first = number * CHUNKS_PER_FILE;
  const chunks = Array.from({ length: CHUNKS_PER_FILE }, (_, position) => ({
    id: chunkIdOf(first + position),
    lengthBytes: CHUNK_BYTES,
    intentIndex,
    replicas: holdersOf(first + position, servers).map((holder) => locationOf(holder).serverId),
  }));
  const sizes = { sizeBytes: CHUNKS_PER_FILE * CHUNK_BYTES, chunkSizeBytes: CHUNK_BYTES };
  return {
    kind: "put",
    target: { path: Buffer.from(loadedPath(number)) },
    content: { kind: "chunks", ...sizes, chunks },
    replace: false,
    mode: 0o644,
    ...OWNER,
  };
}
