import type { BenchContext } from "../bench-context.ts";
import { measureLosses } from "../failover.ts";
import { ClientSessions } from "./client-sessions.ts";
import { compareWithEmpty, type Rates, ratesAlone } from "./compare-with-empty.ts";
import { EventLoops } from "./event-loops.ts";
import { measureReads } from "./fleet-reads.ts";
import { FleetReport, type Spent } from "./fleet-report.ts";
import { CHUNKS_PER_FILE, loadChunks } from "./load-chunks.ts";
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
/** Heartbeat interval of the watches of the client library. */
const WATCH_HEARTBEAT_MS = 1_000;
/** Faults of the failover at the end. */
const FAULTS = { kills: 20, stops: 8 };

/**
 * Measures the masters under a large fleet: simulated chunkservers, client sessions, watchers and the
 * chunks that they refer to. The masters are real processes; no data is stored.
 */
export async function measureFleet(bench: BenchContext): Promise<void> {
  const { cluster, fileSystem, fleet: size } = bench;
  const files = Math.ceil(size.chunks / CHUNKS_PER_FILE);
  await using loops = new EventLoops(cluster);
  const report = new FleetReport(bench, loops);
  const alone = await ratesAlone(fileSystem);
  await report.holdings("before the fleet");
  const idle = await report.rest("before the fleet");

  await using fleet = await SimulatedFleet.start(cluster, size.servers);
  const beating = await report.rest(`${size.servers} servers`);
  const heartbeats = fleet.heartbeatsPerSecond;
  report.figure("heartbeats of the fleet", heartbeats, "calls/s");
  reportEach(report, "a heartbeat", { spent: beating, idle, rate: heartbeats });
  await report.holdings(`with ${size.servers} servers`);

  await using _sessions = await openSessions(bench, report);
  await loadAll(bench, report, { fleet, files });
  await measureWatcherCosts(bench, report);
  await measureWatched(bench, report, { files, alone });
  await measureServerLoss(bench, report, { fleet, deadMs: SERVER_DEAD_MS });
  await report.holdings("after all");
  await measureLosses(bench, { suite: "fleet", faults: FAULTS });
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

async function loadAll(
  { cluster, fileSystem }: BenchContext,
  report: FleetReport,
  load: { readonly fleet: SimulatedFleet; readonly files: number },
): Promise<void> {
  const chunks = load.files * CHUNKS_PER_FILE;
  const { result: rate, spent } = await report.part(`commit of ${chunks} chunks`, () =>
    loadChunks(cluster, fileSystem, load),
  );
  report.figure(`commit of ${chunks} chunks in ${load.files} files`, rate, "chunks/s");
  report.figure("commit of a chunk, CPU of the leader", report.cpuMicros(spent, chunks), "CPU-µs");
  await report.holdings(`with ${chunks} chunks`);
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
