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

/** Claims of the quickstart that did not hold. The exit status is 0 if it is empty at the end. */
const failures: string[] = [];

/**
 * Starts a cluster on this machine, injects faults, and checks that it recovers. Resolves with 0 if
 * all claims held, with 1 otherwise.
 */
export async function main(_commandLine: readonly string[]): Promise<number> {
  const startMs = performance.now();
  const work = await mkdtemp(join(tmpdir(), "ashlar-quickstart-"));
  let cluster: LocalCluster | null = null;
  const stop = new AbortController();
  const onInterrupt = (): void => stop.abort(new Error("Interrupted"));
  process.once("SIGINT", onInterrupt).once("SIGTERM", onInterrupt);
  try {
    say("1. Start 3 masters and 4 chunkservers: seven processes on this machine");
    cluster = await LocalCluster.up({
      directory: join(work, "cluster"),
      masters: 3,
      chunkservers: 4,
      basePort: 0,
      timeoutMs: UP_TIMEOUT_MS,
    });
    print(
      "The masters agree on the names through Raft. The chunkservers store the bytes, three replicas each.",
    );
    await run(cluster, ["status", "-h"]);
    await runSteps({ cluster, work, signal: stop.signal });
  } catch (error) {
    failures.push(error instanceof Error ? error.message : String(error));
  } finally {
    say("Stop all processes");
    const killed = (await cluster?.down()) ?? [];
    for (const name of killed) failures.push(`${name} did not stop after SIGTERM`);
    process.off("SIGINT", onInterrupt).off("SIGTERM", onInterrupt);
    await rm(work, { recursive: true, force: true });
  }
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  for (const failure of failures) process.stdout.write(`  FAILED: ${failure}\n`);
  say(
    failures.length === 0
      ? `All claims held. Duration: ${seconds} s. Next: a cluster of your own, "Five minutes" in README.md.`
      : `Some claims did not hold. Duration: ${seconds} s.`,
  );
  return failures.length === 0 ? 0 : 1;
}

interface QuickstartContext {
  readonly cluster: LocalCluster;
  readonly work: string;
  readonly signal: AbortSignal;
}

async function runSteps(context: QuickstartContext): Promise<void> {
  const { cluster, work, signal } = context;
  await using fileSystem = await connect({
    masters: cluster.masters,
    clusterId: cluster.clusterId,
  });
  const tree = await putAndCompare(context);
  signal.throwIfAborted();
  await killLeaderDuringPut(context, fileSystem, tree);
  signal.throwIfAborted();
  await killChunkserverDuringGet(context, fileSystem, tree);
  signal.throwIfAborted();
  say("5. Start the killed processes again");
  for (const node of cluster.nodes) await cluster.start(node.name);
  await waitUntilWhole(cluster);
  print("The cluster repaired itself without a command.");
  await run(cluster, ["status", "-h"]);
  signal.throwIfAborted();
  await corruptAndRepair(context, tree);
  await rm(join(work, "back"), { recursive: true, force: true });
}

async function putAndCompare({ cluster, work }: QuickstartContext): Promise<SampleTree> {
  say("2. Store a tree of files and read it back");
  const tree = await makeSampleTree(join(work, "tree"), {
    repository: ROOT,
    bigFileBytes: BIG_FILE_BYTES,
  });
  print(
    `${tree.fileCount} files, ${(tree.sizeBytes / MIB).toFixed(0)} MiB. The largest file has ${BIG_FILE_BYTES / MIB} MiB.`,
  );
  await run(cluster, ["put", "-r", tree.directory, "/tree"]);
  await run(cluster, ["ls", "-l", "-h", "/tree/large"]);
  await run(cluster, ["du", "-h", "-s", "/tree"]);
  const back = join(work, "back");
  await run(cluster, ["get", "-r", "/tree", back]);
  const differences = await compareTrees(tree.directory, back);
  check(differences.length === 0, "all names and all bytes are equal", differences.join("; "));
  return tree;
}

async function killLeaderDuringPut(
  { cluster }: QuickstartContext,
  fileSystem: FileSystem,
  tree: SampleTree,
): Promise<void> {
  say("3. Kill the leading master with SIGKILL during a put");
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
          print(`Killed the leader ${leader} after ${(bytes / MIB).toFixed(0)} MiB of the put.`);
        },
      },
    );
    await killing;
    check(killing !== null, "the leader was killed during the put");
    check(result.sizeBytes === BIG_FILE_BYTES, "the put succeeded with a new leader");
  } finally {
    await file.close();
  }
  const [before, after] = await Promise.all([
    fileSystem.checksum(`/tree/${tree.bigFile}`),
    fileSystem.checksum("/put-through-failover"),
  ]);
  check(before.blake3 === after.blake3, "the stored file has the bytes of the source");
  print(`The new leader is ${await leaderName(cluster, fileSystem)}.`);
}

async function killChunkserverDuringGet(
  { cluster, work }: QuickstartContext,
  fileSystem: FileSystem,
  tree: SampleTree,
): Promise<void> {
  say("4. Kill a chunkserver with SIGKILL during a get");
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
      print(`Killed ${victim} after ${(slab.positionBytes / MIB).toFixed(0)} MiB of the get.`);
    }
    await killing;
  } finally {
    await file.close();
  }
  check(killing !== null, "the chunkserver was killed during the get");
  const isEqual = await hasEqualBytes(copy, join(tree.directory, tree.bigFile));
  check(isEqual, "the get continued with other replicas, and all bytes are correct");
  await rm(copy);
}

async function corruptAndRepair(
  { cluster, work }: QuickstartContext,
  tree: SampleTree,
): Promise<void> {
  say("6. Corrupt bytes on one disk");
  const victim = await overwriteBytes(cluster);
  print(
    `Overwrote bytes in the middle of ${victim}. The disk reports no error, as with real bit rot.`,
  );
  const path = `/tree/${tree.bigFile}`;
  const copy = join(work, "read-after-rot");
  await run(cluster, ["get", path, copy]);
  const isEqual = await hasEqualBytes(copy, join(tree.directory, tree.bigFile));
  check(isEqual, "the file is read correctly: each block is verified before it is returned");
  // Status 7: verify found the corruption. Status 0: the get above found the corruption first, and
  // the repair is complete.
  await run(cluster, ["verify", "--all-replicas", "/tree", "/put-through-failover"], [0, 7]);
  const quarantine = await quarantinedFiles(cluster);
  check(
    quarantine.length > 0,
    `the corruption was found and the bad replica quarantined: ${quarantine.join(", ")}`,
  );
  await waitUntilWhole(cluster);
  await run(cluster, ["verify", "--all-replicas", "/tree", "/put-through-failover"]);
  print("The corrupt replica was quarantined and replaced by a copy of a good one.");
}

/** Returns the files in the quarantine directories of all chunkservers. */
async function quarantinedFiles(cluster: LocalCluster): Promise<string[]> {
  const found: string[] = [];
  for (const node of cluster.nodes.filter((each) => each.role === "chunkserver")) {
    const files = await readdir(join(cluster.directory, node.name, "data", "quarantine")).catch(
      () => [],
    );
    found.push(...files.map((file) => `${node.name}/data/quarantine/${file}`));
  }
  return found;
}

/**
 * Overwrites bytes in the middle of the largest extent file of all chunkservers. Returns its name.
 */
async function overwriteBytes(cluster: LocalCluster): Promise<string> {
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
    const garbage = Buffer.from("corrupt bytes");
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
  check(true, "the cluster is whole: all processes run, and every chunk has all its replicas");
}

/** Runs a CLI command. Resolves with its exit status, which must be one of `expected`. */
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
        `ashlar ${commandArguments[0]}: expected exit status ${expected.join(" or ")}: current value is ${exitStatus}`,
      );
      resolve(exitStatus);
    });
  });
}

function say(text: string): void {
  process.stdout.write(`\n${text}\n`);
}

function print(text: string): void {
  process.stdout.write(`  ${text}\n`);
}

/** Prints that `claim` holds, or records the failure. */
function check(holds: boolean, claim: string | null, detail = ""): void {
  if (holds) {
    if (claim !== null) print(`OK: ${claim}`);
    return;
  }
  failures.push([claim, detail].filter((part) => part !== null && part !== "").join(": "));
  print(`FAILED: ${failures.at(-1)}`);
}
