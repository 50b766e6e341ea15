import { join } from "node:path";
import { LocalCluster } from "../../../client/cli/cluster/local-cluster.ts";
import { connect } from "../../../client/connect.ts";
import type { FileSystem } from "../../../client/file-system.ts";
import { median } from "../../statistics.ts";
import type { BenchContext } from "../bench-context.ts";
import { runMany } from "../rates.ts";
import type { FleetReport } from "./fleet-report.ts";

/** Share of the rates of an empty cluster that must be left. */
const SHARE_MIN = 0.8;
const ROUNDS = 3;
const CREATES_PER_ROUND = 5_000;
const STATS_PER_ROUND = 20_000;
const CALLERS = 64;

/** Creates and stats a second. */
export interface Rates {
  readonly create: number;
  readonly stat: number;
}

/** Measures creates and stats of an empty cluster, before the fleet exists. */
export async function ratesAlone(fileSystem: FileSystem): Promise<Rates> {
  await runRound(fileSystem, "/warm-up");
  return runRound(fileSystem, "/alone");
}

/**
 * Compares creates and stats with those of an empty cluster of as many masters, in turns. The other
 * cluster shares the machine with the fleet, so the rates before the fleet existed are reported, too.
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
    await runRound(fileSystem, "/warm-up");
    const rounds: { readonly empty: Rates; readonly full: Rates }[] = [];
    await report.part("creates and stats", async () => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const name = `/round-${round}`;
        const other = await runRound(fileSystem, name);
        rounds.push({ empty: other, full: await runRound(bench.fileSystem, name) });
      }
    });
    for (const what of ["create", "stat"] as const) {
      const name = `${what}, ${CALLERS} in parallel`;
      const other = median(rounds.map((round) => round.empty[what]));
      const full = median(rounds.map((round) => round.full[what]));
      report.figure(`${name}, empty cluster before the fleet`, alone[what], "ops/s");
      report.figure(`${name}, empty cluster in turns with it`, other, "ops/s");
      report.atLeast(`${name}, cluster of the fleet`, full, {
        unit: "ops/s",
        bound: SHARE_MIN * other,
      });
    }
  } finally {
    await empty.down();
  }
}

async function runRound(fileSystem: FileSystem, directory: string): Promise<Rates> {
  await fileSystem.mkdir(directory);
  const creates = { count: CREATES_PER_ROUND, parallel: CALLERS };
  const created = await runMany(creates, (index) => fileSystem.create(`${directory}/${index}`));
  const stats = { count: STATS_PER_ROUND, parallel: CALLERS };
  const read = await runMany(stats, (index) =>
    fileSystem.stat(`${directory}/${index % CREATES_PER_ROUND}`),
  );
  return { create: created.rate, stat: read.rate };
}
