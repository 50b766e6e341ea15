import { spawn } from "node:child_process";
import { mkdtemp, open, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { LocalCluster } from "../client/cli/cluster/local-cluster.ts";
import { connect } from "../client/connect.ts";
import type { FileSystem } from "../client/file-system.ts";
import { compareTrees, hasEqualBytes } from "./compare-trees.ts";
import { makeSampleTree, type SampleTree } from "./sample-tree.ts";

const MIB = 1024 * 1024;
const BIG_FILE_BYTES = 224 * MIB;
const UP_TIMEOUT_MS = 30_000;
const WHOLE_TIMEOUT_MS = 45_000;
const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Every claim of the quickstart that did not hold; empty at the end means exit status 0. */
const failures: string[] = [];

/** A cluster on this machine, broken on purpose, and mended. @returns 0 if everything held */
export async function main(_commandLine: readonly string[]): Promise<number> {
  const startMs = performance.now();
  const work = await mkdtemp(join(tmpdir(), "ashlar-quickstart-"));
  let cluster: LocalCluster | null = null;
  const stop = new AbortController();
  const onInterrupt = (): void => stop.abort(new Error("Interrupted"));
  process.once("SIGINT", onInterrupt).once("SIGTERM", onInterrupt);
  try {
    say("1. A cluster of 3 masters and 4 chunkservers: seven processes on this machine");
    cluster = await LocalCluster.up({
      directory: join(work, "cluster"),
      masters: 3,
      chunkservers: 4,
      basePort: 0,
      timeoutMs: UP_TIMEOUT_MS,
    });
    tell(
      "The masters agree on the names through Raft; the chunkservers keep the bytes, three copies each.",
    );
    await run(cluster, ["status", "-h"]);
    await tour({ cluster, work, signal: stop.signal });
  } catch (error) {
    failures.push(error instanceof Error ? error.message : String(error));
  } finally {
    say("Stopping everything");
    const killed = (await cluster?.down()) ?? [];
    for (const name of killed) failures.push(`${name} did not stop by itself`);
    process.off("SIGINT", onInterrupt).off("SIGTERM", onInterrupt);
    await rm(work, { recursive: true, force: true });
  }
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  for (const failure of failures) process.stdout.write(`  FAILED: ${failure}\n`);
  say(
    failures.length === 0
      ? `All of it held, in ${seconds} s.`
      : `Not all of it held, after ${seconds} s.`,
  );
  return failures.length === 0 ? 0 : 1;
}

interface Tour {
  readonly cluster: LocalCluster;
  readonly work: string;
  readonly signal: AbortSignal;
}

async function tour(parts: Tour): Promise<void> {
  const { cluster, work, signal } = parts;
  await using fileSystem = await connect({
    masters: cluster.masters,
    clusterId: cluster.clusterId,
  });
  const tree = await putAndCompare(parts);
  signal.throwIfAborted();
  await killLeaderDuringPut(parts, fileSystem, tree);
  signal.throwIfAborted();
  await killChunkserverDuringGet(parts, fileSystem, tree);
  signal.throwIfAborted();
  say("5. The dead come back");
  for (const node of cluster.nodes) await cluster.start(node.name);
  await waitUntilWhole(cluster);
  tell("Nobody had to repair anything by hand.");
  await run(cluster, ["status", "-h"]);
  signal.throwIfAborted();
  await rotAndHeal(parts, tree);
  await rm(join(work, "back"), { recursive: true, force: true });
}

async function putAndCompare({ cluster, work }: Tour): Promise<SampleTree> {
  say("2. A real tree of files, put and read back");
  const tree = await makeSampleTree(join(work, "tree"), {
    repository: ROOT,
    bigFileBytes: BIG_FILE_BYTES,
  });
  tell(
    `${tree.fileCount} files, ${(tree.sizeBytes / MIB).toFixed(0)} MiB; the largest has ${BIG_FILE_BYTES / MIB} MiB.`,
  );
  await run(cluster, ["put", "-r", tree.directory, "/tree"]);
  await run(cluster, ["ls", "-l", "-h", "/tree/large"]);
  await run(cluster, ["du", "-h", "-s", "/tree"]);
  const back = join(work, "back");
  await run(cluster, ["get", "-r", "/tree", back]);
  const differences = await compareTrees(tree.directory, back);
  check(
    differences.length === 0,
    "every name and every byte came back as it was",
    differences.join("; "),
  );
  return tree;
}

async function killLeaderDuringPut(
  { cluster }: Tour,
  fileSystem: FileSystem,
  tree: SampleTree,
): Promise<void> {
  say("3. kill -9 of the leading master while a put is running");
  const leader = await leaderName(cluster, fileSystem);
  let killing: Promise<void> | null = null;
  const file = await open(join(tree.directory, tree.bigFile));
  try {
    const result = await fileSystem.writeFile(
      "/put-through-failover",
      file.createReadStream({ highWaterMark: MIB }),
      {
        onProgress: (bytes) => {
          if (killing !== null || bytes < BIG_FILE_BYTES / 4) return;
          killing = cluster.kill(leader, "SIGKILL");
          tell(`${leader}, the leader, was killed with ${(bytes / MIB).toFixed(0)} MiB written.`);
        },
      },
    );
    await killing;
    check(killing !== null, "the leader was killed while the put was running");
    check(result.sizeBytes === BIG_FILE_BYTES, "the put succeeded under a new leader");
  } finally {
    await file.close();
  }
  const [before, after] = await Promise.all([
    fileSystem.checksum(`/tree/${tree.bigFile}`),
    fileSystem.checksum("/put-through-failover"),
  ]);
  check(before.blake3 === after.blake3, "what was put has the bytes of the source");
  tell(`The new leader is ${await leaderName(cluster, fileSystem)}.`);
}

async function killChunkserverDuringGet(
  { cluster, work }: Tour,
  fileSystem: FileSystem,
  tree: SampleTree,
): Promise<void> {
  say("4. kill -9 of a chunkserver while a get is running");
  const { chunkservers } = await fileSystem.status();
  const busiest = [...chunkservers].sort((left, right) => right.chunkCount - left.chunkCount)[0];
  const victim = cluster.nodes.find((node) => node.address === busiest?.address)?.name ?? "c1";
  let killing: Promise<void> | null = null;
  const copy = join(work, "get-through-failure");
  const file = await open(copy, "w");
  try {
    for await (const slab of fileSystem.readSlabs(`/tree/${tree.bigFile}`)) {
      await file.write(slab.bytes, 0, slab.bytes.length, slab.positionBytes);
      slab.release();
      if (killing !== null || slab.positionBytes < BIG_FILE_BYTES / 4) continue;
      killing = cluster.kill(victim, "SIGKILL");
      tell(`${victim} was killed with ${(slab.positionBytes / MIB).toFixed(0)} MiB read.`);
    }
    await killing;
  } finally {
    await file.close();
  }
  check(killing !== null, "the chunkserver was killed while the get was running");
  const isEqual = await hasEqualBytes(copy, join(tree.directory, tree.bigFile));
  check(isEqual, "the get went on with other replicas, and every byte is right");
  await rm(copy);
}

async function rotAndHeal({ cluster, work }: Tour, tree: SampleTree): Promise<void> {
  say("6. Bits rot on one disk");
  const victim = await flipBytes(cluster);
  tell(`Flipped bytes in the middle of ${victim}: the disk says nothing, as real disks do.`);
  const path = `/tree/${tree.bigFile}`;
  const copy = join(work, "read-after-rot");
  await run(cluster, ["get", path, copy]);
  const isEqual = await hasEqualBytes(copy, join(tree.directory, tree.bigFile));
  check(isEqual, "the file reads right: every block is proved before it is handed out");
  // 7: it found the rot. 0: the get above met it first, and the copy is made anew already.
  await run(cluster, ["verify", "--all-replicas", "/tree", "/put-through-failover"], [0, 7]);
  const aside = await quarantined(cluster);
  check(aside.length > 0, `the rot was found, and the bad copy set aside: ${aside.join(", ")}`);
  await waitUntilWhole(cluster);
  await run(cluster, ["verify", "--all-replicas", "/tree", "/put-through-failover"]);
  tell("The rotten copy was set aside and made anew from a good one.");
}

/** What the chunkservers have set aside as rotten. */
async function quarantined(cluster: LocalCluster): Promise<string[]> {
  const found: string[] = [];
  for (const node of cluster.nodes.filter((each) => each.role === "chunkserver")) {
    const files = await readdir(join(cluster.directory, node.name, "data", "quarantine")).catch(
      () => [],
    );
    found.push(...files.map((file) => `${node.name}/data/quarantine/${file}`));
  }
  return found;
}

/** Flips bytes in the middle of the largest extent file of some chunkserver. @returns its name */
async function flipBytes(cluster: LocalCluster): Promise<string> {
  let largest = { path: "", size: 0 };
  for (const node of cluster.nodes.filter((each) => each.role === "chunkserver")) {
    const data = join(cluster.directory, node.name, "data");
    for (const entry of await readdir(data, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (!entry.isFile() || path.includes("stores")) continue;
      const { size } = await stat(path);
      if (size > largest.size) largest = { path, size };
    }
  }
  const file = await open(largest.path, "r+");
  try {
    const garbage = Buffer.from("these bytes rotted");
    for (const share of [0.25, 0.5, 0.75]) {
      await file.write(garbage, 0, garbage.length, Math.floor(largest.size * share));
    }
  } finally {
    await file.close();
  }
  return largest.path.slice(dirname(cluster.directory).length + 1);
}

async function leaderName(cluster: LocalCluster, fileSystem: FileSystem): Promise<string> {
  const { masters } = await fileSystem.status();
  const leader = masters.find((master) => master.role === "leader");
  return cluster.nodes.find((node) => node.address === leader?.address)?.name ?? "m1";
}

async function waitUntilWhole(cluster: LocalCluster): Promise<void> {
  await cluster.waitUntil(
    ({ health }) => (health.word === "ok" ? null : `${health.word}: ${health.reasons.join("; ")}`),
    { timeoutMs: WHOLE_TIMEOUT_MS },
  );
  check(true, "the cluster is whole: all processes there, every chunk with all its copies");
}

/** Runs the CLI as a user would. @returns its exit status, which must be among `expected` */
function run(
  cluster: LocalCluster,
  commandArguments: readonly string[],
  expected: readonly number[] = [0],
): Promise<number> {
  process.stdout.write(`  $ ashlar ${commandArguments.join(" ")}\n`);
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(ROOT, "scripts", "ashlar"), ...commandArguments], {
      env: { ...process.env, ASHLAR_CLUSTER: cluster.directory },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const show = (bytes: Buffer): void => {
      process.stdout.write(bytes.toString().replace(/^(?=.)/gm, "    "));
    };
    child.stdout.on("data", show);
    child.stderr.on("data", show);
    child.on("error", reject);
    child.on("close", (status) => {
      const exitStatus = status ?? -1;
      check(
        expected.includes(exitStatus),
        null,
        `ashlar ${commandArguments[0]} ended with ${exitStatus}`,
      );
      resolve(exitStatus);
    });
  });
}

function say(text: string): void {
  process.stdout.write(`\n${text}\n`);
}

function tell(text: string): void {
  process.stdout.write(`  ${text}\n`);
}

/** Says that `claim` holds, or remembers that it does not. */
function check(holds: boolean, claim: string | null, detail = ""): void {
  if (holds) {
    if (claim !== null) tell(`OK: ${claim}`);
    return;
  }
  failures.push([claim, detail].filter((part) => part !== null && part !== "").join(": "));
  tell(`FAILED: ${failures.at(-1)}`);
}
