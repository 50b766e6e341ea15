import { join } from "node:path";
import { LocalCluster } from "../../client/cli/cluster/local-cluster.ts";
import { connect } from "../../client/connect.ts";
import type { FileSystem } from "../../client/file-system.ts";
import { median } from "../statistics.ts";
import type { BenchContext } from "./bench-context.ts";
import { loadFiles } from "./load-files.ts";
import { atLeast, atMost } from "./measurement.ts";
import { runMany } from "./rates.ts";
import { leaderMemory } from "./resident-memory.ts";

const suite = "scale";
const MB = 1_000_000;
/** Bounds with 5 million files in the namespace. */
const BOUNDS = { restartSeconds: 5, leaderBytes: 700 * MB, createShare: 0.8 };
const CALLERS = 64;
/** Number of rounds. The two clusters alternate, because the speed of the machine varies. */
const ROUNDS = 5;
const CREATES_PER_ROUND = 20_000;
const RESTART_TIMEOUT_MS = 120_000;

/** Compares a namespace with many files with an empty one: creates, leader's memory, restarts. */
export async function measureScale(bench: BenchContext): Promise<void> {
  const { cluster, fileSystem, files } = bench;
  const loaded = await loadFiles(fileSystem, files);
  bench.report({ suite, name: `load of ${files} files`, value: loaded, unit: "files/s" });
  await compareWithEmpty(bench);
  await reportMemory(bench, "after the creates");
  await measureRestart(bench, "SIGTERM");
  await createMany(fileSystem, "/before-the-kill");
  await measureRestart(bench, "SIGKILL");
  await cluster.waitUntilServing({ timeoutMs: RESTART_TIMEOUT_MS });
  await createMany(fileSystem, "/after-the-kill");
  await reportMemory(bench, "after a restart");
}

/** Measures creates in turns with an empty cluster, which runs only for this comparison. */
async function compareWithEmpty(bench: BenchContext): Promise<void> {
  const empty = await LocalCluster.up({
    directory: join(bench.work, "empty"),
    masters: 3,
    chunkservers: 3,
    basePort: 0,
    timeoutMs: 30_000,
  });
  try {
    const { masters, clusterId } = empty;
    await using fileSystem = await connect({ masters, clusterId });
    await createMany(fileSystem, "/warm-up");
    await createMany(bench.fileSystem, "/warm-up");
    const rates: { empty: number[]; full: number[] } = { empty: [], full: [] };
    for (let round = 0; round < ROUNDS; round += 1) {
      rates.empty.push(await createMany(fileSystem, `/creates-${round}`));
      rates.full.push(await createMany(bench.fileSystem, `/creates-${round}`));
    }
    reportCreates(bench, { empty: median(rates.empty), full: median(rates.full) });
    // A baseline: on a busy machine most of a restart is the start of the processes.
    const restart = await restartSeconds(empty, "SIGTERM");
    reportRestart(bench, "empty namespace, restart after SIGTERM of all", restart);
  } finally {
    await empty.down();
  }
}

function reportCreates(
  bench: BenchContext,
  rates: { readonly empty: number; readonly full: number },
): void {
  const unit = "ops/s";
  const name = `create, ${CALLERS} in parallel, empty namespace`;
  bench.report({ suite, name, value: rates.empty, unit });
  bench.report(
    atLeast({
      suite,
      name: `create, ${CALLERS} in parallel, ${bench.files} files`,
      value: rates.full,
      unit,
      bound: rates.empty * BOUNDS.createShare,
    }),
  );
}

/** Resolves with the number of creates per second. */
async function createMany(fileSystem: FileSystem, directory: string): Promise<number> {
  await fileSystem.mkdir(directory);
  const load = { count: CREATES_PER_ROUND, parallel: CALLERS };
  const { rate } = await runMany(load, (index) => fileSystem.create(`${directory}/${index}`));
  return rate;
}

async function reportMemory(bench: BenchContext, when: string): Promise<void> {
  const memory = await leaderMemory(bench.cluster);
  const report = (name: string, bytes: number, bound?: number): void => {
    const figure = { suite, name: `leader ${name}, ${when}`, value: bytes / MB, unit: "MB" };
    bench.report(bound === undefined ? figure : atMost({ ...figure, bound: bound / MB }));
  };
  report("RssAnon", memory.anonymous, BOUNDS.leaderBytes);
  report("RssFile", memory.mapped);
}

async function measureRestart(bench: BenchContext, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  const restart = await restartSeconds(bench.cluster, signal);
  reportRestart(bench, `restart after ${signal} of all`, restart, BOUNDS.restartSeconds);
}

/** Seconds from the start of the masters to the first answers. */
interface Restart {
  readonly read: number;
  readonly created: number;
}

/** Ends all masters, starts them again, and measures the first answers for a new client. */
async function restartSeconds(
  cluster: LocalCluster,
  signal: "SIGTERM" | "SIGKILL",
): Promise<Restart> {
  const names = cluster.nodes.filter((node) => node.role === "master").map((node) => node.name);
  await Promise.all(names.map((name) => cluster.kill(name, signal)));
  const startMs = performance.now();
  await Promise.all(names.map((name) => cluster.start(name)));
  const { masters, clusterId } = cluster;
  await using fileSystem = await connect({ masters, clusterId, timeoutMs: RESTART_TIMEOUT_MS });
  const seconds = async (answer: Promise<unknown>): Promise<number> => {
    await answer;
    return (performance.now() - startMs) / 1000;
  };
  const [read, created] = await Promise.all([
    seconds(fileSystem.stat("/warm-up/0")),
    seconds(fileSystem.create(`/after-${signal}`)),
  ]);
  return { read, created };
}

function reportRestart(bench: BenchContext, name: string, restart: Restart, bound?: number): void {
  const report = (what: string, value: number): void => {
    const figure = { suite, name: `${name}, first ${what}`, value, unit: "s" };
    bench.report(bound === undefined ? figure : atMost({ ...figure, bound }));
  };
  report("linearizable read", restart.read);
  report("create", restart.created);
}
