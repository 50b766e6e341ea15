import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { LocalCluster } from "../../../client/cli/cluster/local-cluster.ts";
import { connect } from "../../../client/connect.ts";
import { median } from "../../statistics.ts";
import type { BenchContext } from "../bench-context.ts";
import { runMany } from "../rates.ts";
import type { FleetReport } from "./fleet-report.ts";
import { leaderUsage } from "./leader-usage.ts";

/** Share of the rates of an empty cluster that must be left. */
const SHARE_MIN = 0.8;
const ROUNDS = 3;
const CREATES_PER_ROUND = 5_000;
const STATS_PER_ROUND = 20_000;
const CALLERS = 64;
/** Duration of the measurement of a leader without calls. */
const IDLE_MS = 5_000;

/** NaN if the leader changed. */
interface Rate {
  /** Calls a second. */
  readonly perSecond: number;
  /** Calls a second that the leader reaches with a core of its own: what its costs without calls leave. */
  readonly perCpuSecond: number;
}

/** Rates of creates and stats. */
export interface Rates {
  readonly create: Rate;
  readonly stat: Rate;
}

interface Target extends Pick<BenchContext, "cluster" | "fileSystem"> {
  /** CPU time of the leader without calls, as a share of a core. */
  readonly idleShare: number;
}

/** Measures creates and stats of an empty cluster, before the fleet exists. */
export async function ratesAlone(
  target: Pick<BenchContext, "cluster" | "fileSystem">,
): Promise<Rates> {
  const { cluster, fileSystem } = target;
  const idleShare = await idleShareOf(cluster);
  await runRound({ cluster, fileSystem, idleShare }, "/warm-up");
  return runRound({ cluster, fileSystem, idleShare }, "/alone");
}

/**
 * Compares creates and stats with those of an empty cluster of as many masters, in turns. The simulated fleet uses
 * the same cores, and more of them while its cluster is measured. So the bound applies to the rates that the
 * leaders reach with a core of their own. That of the fleet spends a part of it on heartbeats.
 */
export async function compareWithEmpty(
  bench: BenchContext,
  report: FleetReport,
  alone: Rates,
): Promise<void> {
  const empty = await LocalCluster.up({
    directory: join(bench.work, "empty"),
    masters: 3,
    chunkservers: 0,
    masterSettings: { defaultCopies: 3, defaultCopiesMin: 2 },
    basePort: 0,
    timeoutMs: 30_000,
  });
  try {
    const { masters, clusterId } = empty;
    await using fileSystem = await connect({ masters, clusterId });
    const target = { cluster: empty, fileSystem, idleShare: await idleShareOf(empty) };
    const fleet = { ...bench, idleShare: await idleShareOf(bench.cluster) };
    await runRound(target, "/warm-up");
    const rounds: { readonly empty: Rates; readonly full: Rates }[] = [];
    await report.part("creates and stats", async () => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const name = `/round-${round}`;
        const other = await runRound(target, name);
        rounds.push({ empty: other, full: await runRound(fleet, name) });
      }
    });
    for (const what of ["create", "stat"] as const) {
      const name = `${what}, ${CALLERS} in parallel`;
      const of = (cluster: "empty" | "full", field: keyof Rate): number =>
        median(rounds.map((round) => round[cluster][what][field]));
      report.figure(`${name}, empty cluster before the fleet`, alone[what].perSecond, "ops/s");
      report.figure(`${name}, empty cluster in turns with it`, of("empty", "perSecond"), "ops/s");
      report.figure(`${name}, cluster of the fleet`, of("full", "perSecond"), "ops/s");
      const unit = "ops/CPU-s";
      const other = of("empty", "perCpuSecond");
      report.figure(`${name}, a second of CPU of the leader, empty cluster`, other, unit);
      const full = of("full", "perCpuSecond");
      const bound = SHARE_MIN * other;
      report.atLeast(`${name}, a second of CPU of the leader`, full, { unit, bound });
    }
  } finally {
    await empty.down();
  }
}

/** Returns the CPU time of the leader of a cluster that gets no calls of clients, as a share of a core. */
async function idleShareOf(cluster: LocalCluster): Promise<number> {
  const before = await leaderUsage(cluster);
  await sleep(IDLE_MS);
  const after = await leaderUsage(cluster);
  return (after.cpuSeconds - before.cpuSeconds) / ((after.atMs - before.atMs) / 1_000);
}

async function runRound(target: Target, directory: string): Promise<Rates> {
  const { fileSystem } = target;
  await fileSystem.mkdir(directory);
  const create = await metered(target, CREATES_PER_ROUND, (index) =>
    fileSystem.create(`${directory}/${index}`),
  );
  const stat = await metered(target, STATS_PER_ROUND, (index) =>
    fileSystem.stat(`${directory}/${index % CREATES_PER_ROUND}`),
  );
  return { create, stat };
}

async function metered(
  { cluster, idleShare }: Target,
  count: number,
  call: (index: number) => Promise<unknown>,
): Promise<Rate> {
  const before = await leaderUsage(cluster);
  const { rate } = await runMany({ count, parallel: CALLERS }, call);
  const after = await leaderUsage(cluster);
  if (before.pid !== after.pid) return { perSecond: rate, perCpuSecond: Number.NaN };
  const seconds = (after.atMs - before.atMs) / 1_000;
  const cpuSeconds = after.cpuSeconds - before.cpuSeconds - idleShare * seconds;
  return { perSecond: rate, perCpuSecond: ((1 - idleShare) * count) / cpuSeconds };
}
