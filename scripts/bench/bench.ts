import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { LocalCluster, type UpOptions } from "../../client/cli/cluster/local-cluster.ts";
import { connect } from "../../client/connect.ts";
import type { AloneContext, BenchContext, FleetSize } from "./bench-context.ts";
import { CpuMeter } from "./cpu-seconds.ts";
import { measureFailover } from "./failover.ts";
import { FLEET_CLUSTER, measureFleet } from "./fleet/fleet.ts";
import { describe, type Measurement } from "./measurement.ts";
import { measureMetadata } from "./metadata.ts";
import { measureRandomReads } from "./random-reads.ts";
import { measureReclaim } from "./reclaim/reclaim.ts";
import { measureScale } from "./scale.ts";
import { measureSequential } from "./sequential.ts";
import { measureSmallFiles } from "./small-files.ts";
import { measureStart } from "./start.ts";
import { measureTree } from "./tree.ts";

/** A group of figures, measured on a cluster of its own, or without one. */
interface Suite {
  readonly measure?: (bench: BenchContext) => Promise<void>;
  readonly measureAlone?: (bench: AloneContext) => Promise<void>;
  /** Differences from a cluster of 3 masters and 3 chunkservers. */
  readonly cluster?: Pick<UpOptions, "chunkservers" | "masterSettings">;
  /** Whether it takes many minutes. Such a suite runs only if it is named. */
  readonly isLong?: boolean;
}

const SUITES: Readonly<Record<string, Suite>> = {
  sequential: { measure: measureSequential },
  small: { measure: measureSmallFiles },
  start: { measure: measureStart },
  random: { measure: measureRandomReads },
  tree: { measure: measureTree },
  meta: { measure: measureMetadata },
  failover: { measure: measureFailover },
  reclaim: { measureAlone: measureReclaim, isLong: true },
  scale: { measure: measureScale, isLong: true },
  fleet: { measure: measureFleet, cluster: FLEET_CLUSTER, isLong: true },
};
const SUITE_NAMES = Object.keys(SUITES);
const DEFAULT_SUITES = SUITE_NAMES.filter((name) => SUITES[name]?.isLong !== true);
/** The sizes to which the bounds apply. */
const FILES = 5_000_000;
const SECONDS = 600;
const FLEET: FleetSize = { chunks: 2_000_000, servers: 1_000, sessions: 10_000, watchers: 2_000 };

const USAGE = `Usage: npm run bench -- [suite …] [--json] [--files N] [--seconds N]
                        [--chunks N] [--servers N] [--sessions N] [--watchers N] [--prepared DIR]

Suites: ${SUITE_NAMES.join(", ")} (default: ${DEFAULT_SUITES.join(", ")}).
Exit status 1 if a bound was missed.

--json      print one JSON object per line
--files     number of files that scale creates (${FILES}): its bounds apply to this number,
            which needs 10 GB of disk
--seconds   time for which reclaim creates and unlinks files (${SECONDS})
--chunks    number of chunks in the prepared state of fleet (${FLEET.chunks})
--servers   number of simulated chunkservers of fleet (${FLEET.servers})
--sessions  number of client sessions of fleet (${FLEET.sessions})
--watchers  number of watchers of fleet (${FLEET.watchers}); the bounds of fleet apply to these four
            numbers, which need 15 GB of disk
--prepared  directory in which fleet keeps its prepared state, about 20 minutes of CPU time, for the
            next run (default: a temporary one)
`;

/** The options with a number. */
const NUMBER_OPTIONS = { files: FILES, seconds: SECONDS, ...FLEET };
type NumberOption = keyof typeof NUMBER_OPTIONS;

/**
 * Runs the benchmark. Resolves with 0 if all bounds held, 1 if one was missed, 2 for wrong usage.
 */
export async function main(commandLine: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...commandLine],
    allowPositionals: true,
    options: {
      json: { type: "boolean" },
      help: { type: "boolean" },
      files: { type: "string" },
      seconds: { type: "string" },
      chunks: { type: "string" },
      servers: { type: "string" },
      sessions: { type: "string" },
      watchers: { type: "string" },
      prepared: { type: "string" },
    },
  });
  const names = positionals.length === 0 ? DEFAULT_SUITES : positionals;
  const sizes = numbersOf(values);
  if (values.help === true || sizes === null || names.some((name) => !(name in SUITES))) {
    process.stderr.write(USAGE);
    return values.help === true ? 0 : 2;
  }
  let missedCount = 0;
  const report = (measurement: Measurement): void => {
    if (measurement.ok === false) missedCount += 1;
    const line = values.json === true ? JSON.stringify(measurement) : describe(measurement);
    process.stdout.write(`${line}\n`);
  };
  for (const name of names) {
    const { files, seconds } = sizes;
    const fleet = { ...sizes, prepared: values.prepared ?? null };
    await runSuite(SUITES[name] as Suite, { files, seconds, fleet, report });
  }
  return missedCount === 0 ? 0 : 1;
}

/** Returns the options with a number, or null if one of them is no positive integer. */
function numbersOf(
  values: Readonly<Partial<Record<NumberOption, string>>>,
): Record<NumberOption, number> | null {
  const numbers = { ...NUMBER_OPTIONS };
  for (const name of Object.keys(NUMBER_OPTIONS) as NumberOption[]) {
    const text = values[name];
    if (text !== undefined) numbers[name] = Number(text);
    if (!Number.isSafeInteger(numbers[name]) || numbers[name] < 1) return null;
  }
  return numbers;
}

async function runSuite(
  suite: Suite,
  settings: Omit<BenchContext, "cluster" | "fileSystem" | "cpu" | "work">,
): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), "ashlar-bench-"));
  let cluster: LocalCluster | null = null;
  try {
    await suite.measureAlone?.({ work, ...settings });
    if (suite.measure === undefined) return;
    cluster = await LocalCluster.up({
      directory: join(work, "cluster"),
      masters: 3,
      chunkservers: 3,
      basePort: 0,
      timeoutMs: 30_000,
      ...suite.cluster,
    });
    const { masters, clusterId } = cluster;
    await using fileSystem = await connect({ masters, clusterId });
    const cpu = await CpuMeter.of(cluster);
    await suite.measure({ cluster, fileSystem, cpu, work, ...settings });
  } finally {
    await cluster?.down();
    await rm(work, { recursive: true, force: true });
  }
}
