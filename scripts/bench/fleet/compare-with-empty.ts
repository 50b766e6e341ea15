import { join } from "node:path";
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

/** Calls a second, and calls for each second of CPU time of the leader. NaN if the leader changed. */
interface Rate {
  readonly perSecond: number;
  readonly perCpuSecond: number;
}

/** Rates of creates and stats. */
export interface Rates {
  readonly create: Rate;
  readonly stat: Rate;
}

type Target = Pick<BenchContext, "cluster" | "fileSystem">;

/** Measures creates and stats of an empty cluster, before the fleet exists. */
export async function ratesAlone(target: Target): Promise<Rates> {
  await runRound(target, "/warm-up");
  return runRound(target, "/alone");
}

/**
 * Compares creates and stats with those of an empty cluster of as many masters, in turns. The simulated fleet uses
 * the same cores, and more of them while its cluster is measured. So the bound applies to the CPU time of the
 * leader, from which nothing is subtracted: it contains the heartbeats of the fleet.
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
    const target = { cluster: empty, fileSystem };
    await runRound(target, "/warm-up");
    const rounds: { readonly empty: Rates; readonly full: Rates }[] = [];
    await report.part("creates and stats", async () => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const name = `/round-${round}`;
        const other = await runRound(target, name);
        rounds.push({ empty: other, full: await runRound(bench, name) });
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

async function runRound({ cluster, fileSystem }: Target, directory: string): Promise<Rates> {
  await fileSystem.mkdir(directory);
  const create = await metered(cluster, CREATES_PER_ROUND, (index) =>
    fileSystem.create(`${directory}/${index}`),
  );
  const stat = await metered(cluster, STATS_PER_ROUND, (index) =>
    fileSystem.stat(`${directory}/${index % CREATES_PER_ROUND}`),
  );
  return { create, stat };
}

async function metered(
  cluster: LocalCluster,
  count: number,
  call: (index: number) => Promise<unknown>,
): Promise<Rate> {
  const before = await leaderUsage(cluster);
  const { rate } = await runMany({ count, parallel: CALLERS }, call);
  const after = await leaderUsage(cluster);
  const cpuSeconds = before.pid === after.pid ? after.cpuSeconds - before.cpuSeconds : Number.NaN;
  return { perSecond: rate, perCpuSecond: count / cpuSeconds };
}
