import { join } from "node:path";
import { numberOf } from "../../../client/cli/cluster/layout.ts";
import type { LocalCluster } from "../../../client/cli/cluster/local-cluster.ts";
import { connect } from "../../../client/connect.ts";
import type { BenchContext } from "../bench-context.ts";
import { measureLosses } from "../failover.ts";
import { CHUNKS_PER_FILE, FILES_PER_DIRECTORY } from "./chunk-plan.ts";
import { ClientSessions } from "./client-sessions.ts";
import { compareWithEmpty, type Rates, ratesAlone } from "./compare-with-empty.ts";
import { EventLoops, monitorTurns } from "./event-loops.ts";
import { measureReads } from "./fleet-reads.ts";
import { FleetReport, type Spent } from "./fleet-report.ts";
import { measureHubReads } from "./hub-reads.ts";
import { measureLearnerJoin } from "./learner-join.ts";
import { loadChunks } from "./load-chunks.ts";
import { installState, type PreparedState, prepareState, withCopy } from "./prepare-state.ts";
import { measureRepairTurns } from "./repair-turns.ts";
import { measureServerLoss } from "./server-loss.ts";
import { SimulatedFleet } from "./simulated-fleet.ts";
import { measureWatcherCosts, watchedDirectory } from "./watcher-costs.ts";
import { Watchers } from "./watchers.ts";

/** Silence after which a server is dead: the default of a master. */
const SERVER_DEAD_MS = 10_000;
/**
 * The cluster of this suite. Its chunkservers are simulated. A dead server is repaired at once, with
 * more copies in progress than the default, because no data limits them.
 */
export const FLEET_CLUSTER = {
  chunkservers: 0,
  masterSettings: {
    defaultCopies: 3,
    defaultCopiesMin: 2,
    defaultRacksMin: 2,
    serverDeadMs: SERVER_DEAD_MS,
    repairDelayMs: 0,
    repairCopiesTotal: 1_024,
  },
};
/** Files with chunks that are committed by calls. All others are prepared. */
const COMMITTED_FILES = 200;
/** Heartbeat interval of the watches of the client library. */
const WATCH_HEARTBEAT_MS = 1_000;
const START_TIMEOUT_MS = 60_000;
/** Faults of the failover at the end, and of the same cluster when it is empty. */
const FAULTS = { kills: 20, stops: 8 };
const FAULTS_EMPTY = { kills: 10, stops: 4 };

/**
 * Measures the masters under a large fleet: simulated chunkservers, client sessions, watchers and the
 * chunks that they refer to. The masters are real processes; no data is stored.
 */
export async function measureFleet(empty: BenchContext): Promise<void> {
  const { fleet: size } = empty;
  const files =
    FILES_PER_DIRECTORY * Math.ceil(size.chunks / CHUNKS_PER_FILE / FILES_PER_DIRECTORY);
  const alone = await ratesAlone(empty);
  const suite = "fleet";
  await measureLosses(empty, { suite, ofWhat: " of an empty cluster", faults: FAULTS_EMPTY });
  monitorTurns(empty.work);
  const { cluster, state } = await withPrepared(empty, empty, files);
  // The bench stops the masters that it started. The learner is stopped here.
  await using _running = {
    [Symbol.asyncDispose]: async () => {
      await cluster.down();
    },
  };
  const { masters, clusterId } = cluster;
  await using fileSystem = await connect({ masters, clusterId });
  const bench = { ...empty, cluster, fileSystem };
  await using loops = new EventLoops(cluster, empty.work);
  const report = new FleetReport(bench, loops);
  await report.holdings(`with ${files * CHUNKS_PER_FILE} chunks`);
  const idle = await report.rest("before the fleet");

  await using fleet = await startFleet(bench, report);
  fleet.countPrepared(files * CHUNKS_PER_FILE);
  const beating = await report.rest(`${size.servers} servers`);
  const heartbeats = fleet.heartbeatsPerSecond;
  report.figure("heartbeats of the fleet", heartbeats, "calls/s");
  reportEach(report, "a heartbeat", { spent: beating, idle, rate: heartbeats });
  await report.holdings(`with ${size.servers} servers`);

  await using _sessions = await openSessions(bench, report);
  await commitSome(bench, report, { fleet, firstFile: files });
  await measureWatcherCosts(bench, report);
  await measureWatched(bench, report, { files, alone });
  await measureServerLosses(bench, report, fleet);
  await report.holdings("after all");
  await measureLosses(bench, { suite, faults: FAULTS });
  await measureLearnerJoin(bench, report, state);
}

async function openSessions(bench: BenchContext, report: FleetReport): Promise<ClientSessions> {
  const { cluster, fleet: size } = bench;
  const { result, spent } = await report.part(`opening ${size.sessions} sessions`, () =>
    ClientSessions.open(cluster, size.sessions),
  );
  report.figure("open of a session, 64 in parallel", result.rate, "sessions/s");
  const micros = report.cpuMicros(spent, size.sessions);
  report.figure("open of a session, CPU of the leader", micros, "CPU-µs");
  await report.holdings(`with ${size.sessions} sessions`);
  return result.sessions;
}

/** Starts the cluster again, with a prepared state. */
async function withPrepared(
  bench: BenchContext,
  report: Pick<BenchContext, "report">,
  files: number,
): Promise<{ readonly cluster: LocalCluster; readonly state: PreparedState }> {
  const { fleet: size, work } = bench;
  const { directory, nodes } = bench.cluster;
  const startMs = performance.now();
  const prepared = { servers: size.servers, files };
  const members = nodes.map(numberOf);
  const state = await prepareState(size.prepared ?? join(work, "prepared"), prepared, members);
  const name = `preparation of a state with ${files * CHUNKS_PER_FILE} chunks`;
  const value = (performance.now() - startMs) / 1_000;
  report.report({ suite: "fleet", name, value, unit: "s" });
  await bench.cluster.down();
  await withCopy(state, join(work, "copy"), async (namespace) => {
    await measureHubReads(bench, namespace);
    await measureRepairTurns(bench, namespace);
  });
  const cluster = await installState(directory, state);
  for (const { name: node } of nodes) await cluster.start(node);
  await cluster.waitUntilServing({ timeoutMs: START_TIMEOUT_MS });
  return { cluster, state };
}

async function startFleet(bench: BenchContext, report: FleetReport): Promise<SimulatedFleet> {
  const { cluster, fleet: size } = bench;
  const { result } = await report.part(`registration of ${size.servers} servers`, () =>
    SimulatedFleet.start(cluster, size.servers),
  );
  return result;
}

/** Measures the commit of more chunks through the calls of clients. */
async function commitSome(
  { cluster, fileSystem }: BenchContext,
  report: FleetReport,
  load: { readonly fleet: SimulatedFleet; readonly firstFile: number },
): Promise<void> {
  const files = COMMITTED_FILES;
  const chunks = files * CHUNKS_PER_FILE;
  const { result: rate, spent } = await report.part(`commit of ${chunks} chunks`, () =>
    loadChunks(cluster, fileSystem, { ...load, files }),
  );
  report.figure(`commit of ${chunks} chunks in ${files} files`, rate, "chunks/s");
  report.figure("commit of a chunk, CPU of the leader", report.cpuMicros(spent, chunks), "CPU-µs");
}

/** Measures the calls of clients while all watchers are open, with the heartbeats of the library. */
async function measureWatched(
  bench: BenchContext,
  report: FleetReport,
  { files, alone }: { readonly files: number; readonly alone: Rates },
): Promise<void> {
  const { cluster, fleet: size } = bench;
  const before = await report.rest("before the watchers");
  await using watchers = await Watchers.open(cluster, {
    count: size.watchers,
    heartbeatMs: WATCH_HEARTBEAT_MS,
    directoryOf: watchedDirectory,
  });
  const messagesBefore = watchers.messageCount;
  const spent = await report.rest(`${size.watchers} watchers`);
  const rate = (watchers.messageCount - messagesBefore) / spent.seconds;
  reportEach(report, "a heartbeat of a watcher", { spent, idle: before, rate });
  await report.holdings(`with ${size.watchers} watchers`);
  await measureReads(bench, report, files);
  await compareWithEmpty(bench, report, alone);
}

/** Measures the loss of a server with an equal share of the chunks, and of the large one. */
async function measureServerLosses(
  bench: BenchContext,
  report: FleetReport,
  fleet: SimulatedFleet,
): Promise<void> {
  const deadMs = SERVER_DEAD_MS;
  report.figure("copies made before a server was lost", fleet.copiedCount, "copies");
  for (const { lost, what, isWhole } of [
    { lost: fleet.servers[0], what: "a server", isWhole: true },
    { lost: fleet.servers.at(-1), what: "the large server", isWhole: false },
  ]) {
    if (lost === undefined) throw new Error("The fleet has no servers");
    await measureServerLoss(bench, report, { fleet, lost, deadMs, what, isWhole });
  }
}

/** Reports what one of `rate` events a second costs the leader above its idle costs. */
function reportEach(
  report: FleetReport,
  name: string,
  { spent, idle, rate }: { readonly spent: Spent; readonly idle: Spent; readonly rate: number },
): void {
  const each = (field: "cpuSeconds" | "ioBytes"): number =>
    (spent[field] / spent.seconds - idle[field] / idle.seconds) / rate;
  report.figure(`${name}, CPU of the leader`, each("cpuSeconds") * 1e6, "CPU-µs");
  report.figure(`${name}, bytes read and written by the leader`, each("ioBytes"), "bytes");
}
