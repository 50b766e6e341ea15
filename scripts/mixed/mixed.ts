import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Exercise } from "./exercise.ts";
import { MixedCluster, type MixedRun } from "./mixed-cluster.ts";
import { exportOldVersion, OLD_VERSION } from "./old-version.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const MASTERS = ["m1", "m2", "m3"] as const;
/** More entries than a master returns in one page of a listing. */
const ENTRIES = 1_200;

/** A run with its clusters. */
interface Run extends MixedRun {
  /** All clusters, to stop their processes at the end. */
  readonly clusters: MixedCluster[];
}

/**
 * Runs processes of version 0.1.0 next to those of this tree, and checks that both work together.
 *
 * @returns 0 if everything worked, 1 otherwise
 */
export async function main(): Promise<number> {
  const startMs = performance.now();
  const work = await mkdtemp(join(tmpdir(), "ashlar-mixed-"));
  const clusters: MixedCluster[] = [];
  const stop = new AbortController();
  const onSignal = (): void => stop.abort(new Error("Interrupted"));
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  let isPassed = false;
  try {
    say(`export and compile version ${OLD_VERSION}`);
    const old = await exportOldVersion(ROOT, join(work, "old"));
    const launchers = { old, new: join(ROOT, "scripts", "ashlar") };
    const run: Run = { launchers, work, signal: stop.signal, clusters };
    await upgrade(run);
    await mixedFromTheStart(run);
    isPassed = true;
  } catch (error) {
    say(`FAILED: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    for (const cluster of clusters) await cluster.down().catch((error) => say(String(error)));
  }
  if (isPassed) await rm(work, { recursive: true });
  else say(`the logs are in ${work}`);
  const seconds = Math.round((performance.now() - startMs) / 1000);
  say(`${isPassed ? "passed" : "failed"} in ${seconds} s`);
  return isPassed ? 0 : 1;
}

async function openCluster(run: Run, name: string): Promise<[MixedCluster, Exercise]> {
  const cluster = new MixedCluster(run, name);
  run.clusters.push(cluster);
  const files = join(run.work, `${name}-files`);
  await mkdir(files);
  return [cluster, new Exercise(cluster, files)];
}

/** A cluster of version 0.1.0 is upgraded, master by master. One chunkserver stays as it is. */
async function upgrade(run: Run): Promise<void> {
  const [cluster, exercise] = await openCluster(run, "upgrade");
  say(`a cluster of version ${OLD_VERSION}: both clients`);
  await cluster.create("old", 3, 2);
  await exercise.transfer();
  await cluster.compareStates();

  for (const [index, name] of MASTERS.entries()) {
    say(`${name} is replaced: ${index + 1} of 3 masters are new`);
    await cluster.replace("new", name);
    if (index === 1) await exercise.run();
    else await exercise.transfer();
    await cluster.compareStates();
    if (index < 2) await refuseFinalize(cluster);
  }
  say("back and forth: m3 returns to version 0.1.0, and is replaced again");
  await cluster.replace("old", "m3");
  await exercise.transfer();
  await cluster.compareStates();
  await cluster.replace("new", "m3");

  say("the chunkservers are replaced, one of version 0.1.0 is added: lowest feature level");
  for (const name of ["c1", "c2"]) await cluster.replace("new", name);
  await cluster.add("old", "chunkserver");
  await cluster.waitUntilOk();
  await exercise.run();
  await checkCapabilities(cluster);
  await loseChunkserver(cluster, exercise, "c1");

  say("all masters are restarted, and the states are equal");
  for (const name of MASTERS) await cluster.signal(name, "TERM");
  for (const name of MASTERS) await cluster.start("new", name);
  await cluster.waitUntilOk();
  await cluster.compareStates();

  say("finalize-upgrade");
  await finalize(cluster);
  await exercise.run();
  // The chunkserver of version 0.1.0 cannot enrol: it works as long as the enrolment is open.
  await cluster.refuse("new", /chunkservers have enrolled/, "server", "enrolment", "close");
  await cluster.compareStates();
  await loseChunkserver(cluster, exercise, "c2");
  await listLargeDirectory(cluster);
  say(`a master of version ${OLD_VERSION} no longer starts`);
  await cluster.signal("m3", "TERM");
  await cluster.start("old", "m3");
  await cluster.waitUntil("m3 has ended", ({ health }) =>
    health.word === "ok" ? "it serves" : null,
  );
  await cluster.expectLog("m3", /feature level/);
  await cluster.start("new", "m3");
  await cluster.waitUntilOk();
}

/** A cluster of this version, with one chunkserver of version 0.1.0 and with its client. */
async function mixedFromTheStart(run: Run): Promise<void> {
  const [cluster, exercise] = await openCluster(run, "new");
  say("a cluster of this version with a chunkserver of version 0.1.0");
  await cluster.create("new", 3, 2);
  // A chunkserver of version 0.1.0 cannot enrol. It works as long as the enrolment is open.
  await cluster.succeed("new", "server", "enrolment", "open");
  await cluster.add("old", "chunkserver");
  await cluster.waitUntilOk();
  await exercise.run();
  await checkCapabilities(cluster);
  await loseChunkserver(cluster, exercise, "c1");
  await cluster.compareStates();
  say("the chunkserver of version 0.1.0 is upgraded, and returns");
  await cluster.replace("new", "c3");
  await exercise.transfer();
  await cluster.replace("old", "c3");
  await exercise.transfer();
}

/**
 * `finalize-upgrade` changes nothing while a master of version 0.1.0 is in the group. Its leader refuses the command,
 * and a leader of this version finds nothing to raise.
 */
async function refuseFinalize(cluster: MixedCluster): Promise<void> {
  const before = (await cluster.status()).feature_level;
  const words = ["cluster", "finalize-upgrade", "--yes"];
  const { stderr } = await cluster.run("new", ...words);
  if (!/runs an older version|nothing to do/.test(stderr))
    throw new Error(`finalize-upgrade with a master of version ${OLD_VERSION}: ${stderr}`);
  const after = (await cluster.status()).feature_level;
  if (before === null || after === null || before.current === after.current) return;
  throw new Error(`A refused finalize-upgrade changed the level to ${after?.current}`);
}

async function finalize(cluster: MixedCluster): Promise<void> {
  await cluster.succeed("new", "cluster", "finalize-upgrade", "--yes");
  const level = (await cluster.status()).feature_level;
  if (level !== null && level.current === level.supported) return;
  throw new Error(`finalize-upgrade: the level is ${level?.current} of ${level?.supported}`);
}

/** Kills a chunkserver of this version. The others, one of version 0.1.0, must get its copies. */
async function loseChunkserver(
  cluster: MixedCluster,
  exercise: Exercise,
  name: string,
): Promise<void> {
  say(`${name} is killed, and its copies are made again`);
  const { chunk_count: before } = await oldServer(cluster);
  await cluster.signal(name, "KILL");
  await cluster.waitUntil("all chunks have their copies", ({ namespace, health, chunkservers }) => {
    const { chunks_under_replicated: few, chunks_lost: lost } = namespace;
    if (chunkservers.every(({ state }) => state !== "dead")) return `${name} is not dead yet`;
    const old = chunkservers.find(({ capabilities }) => capabilities?.length === 0);
    if ((old?.chunk_count ?? 0) <= before) return `version ${OLD_VERSION} got no copy`;
    const isRepaired = health.reasons.some((reason) => reason.includes("all chunks have"));
    return isRepaired && few + lost === 0 ? null : `${few} with too few copies, ${lost} lost`;
  });
  await exercise.readAll("old");
  await exercise.readAll("new");
  await cluster.start("new", name);
  await cluster.waitUntilOk();
}

/** The chunkserver of version 0.1.0 states no capability, the others do. */
async function checkCapabilities(cluster: MixedCluster): Promise<void> {
  await oldServer(cluster);
  const { chunkservers } = await cluster.status();
  const stated = chunkservers.filter(({ capabilities }) => (capabilities ?? []).length > 0);
  if (stated.length !== chunkservers.length - 1)
    throw new Error(`${stated.length} of ${chunkservers.length} chunkservers state capabilities`);
}

async function oldServer(cluster: MixedCluster) {
  const { chunkservers } = await cluster.status();
  const found = chunkservers.find(({ capabilities }) => capabilities?.length === 0);
  if (found === undefined)
    throw new Error(`No chunkserver of version ${OLD_VERSION} is registered`);
  return found;
}

/** A directory of several pages, now and in the past, in which all entries of a page may be new. */
async function listLargeDirectory(cluster: MixedCluster): Promise<void> {
  say("a directory of several pages, now and in the past");
  const names = Array.from({ length: ENTRIES }, (_, index) => `d${10_000 + index}`);
  await cluster.succeed("new", "mkdir", "/large");
  for (let start = 0; start < ENTRIES; start += 400) {
    const lines = names.slice(start, start + 400).map((name) => `/large/${name}`);
    await cluster.succeed("new", "mkdir", ...lines);
  }
  for (const version of ["old", "new"] as const) {
    const listed = (await cluster.succeed(version, "ls", "/large")).trim().split(/\s+/);
    if (listed.length !== ENTRIES)
      throw new Error(`ls of the ${version} version: ${listed.length}`);
  }
  await cluster.succeed("new", "rm", "-r", "--yes", "/large");
}

function say(text: string): void {
  process.stdout.write(`mixed: ${text}\n`);
}
