import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { LocalCluster } from "../../client/cli/cluster/local-cluster.ts";
import { connect } from "../../client/connect.ts";
import type { BenchContext } from "./bench-context.ts";
import { CpuMeter } from "./cpu-seconds.ts";
import { measureFailover } from "./failover.ts";
import { describe, type Measurement } from "./measurement.ts";
import { measureMetadata } from "./metadata.ts";
import { measureScale } from "./scale.ts";
import { measureSequential } from "./sequential.ts";
import { measureSmallFiles } from "./small-files.ts";

const SUITES: Readonly<Record<string, (bench: BenchContext) => Promise<void>>> = {
  sequential: measureSequential,
  small: measureSmallFiles,
  meta: measureMetadata,
  failover: measureFailover,
  scale: measureScale,
};
/** The suites that run by default: all except the one that takes many minutes. */
const DEFAULT_SUITES = Object.keys(SUITES).filter((name) => name !== "scale");
const FILES = 5_000_000;

const USAGE = `Usage: npm run bench -- [suite …] [--json] [--files N]

Suites: ${Object.keys(SUITES).join(", ")} (default: all but scale).
Exit status 1 if a bound was missed.

--json   print one JSON object per line
--files  number of files that scale creates (${FILES}): its bounds apply to this number,
         which needs 10 GB of disk
`;

/**
 * Runs the benchmark. Resolves with 0 if all bounds held, 1 if one was missed, 2 for wrong usage.
 */
export async function main(commandLine: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...commandLine],
    allowPositionals: true,
    options: { json: { type: "boolean" }, files: { type: "string" }, help: { type: "boolean" } },
  });
  const names = positionals.length === 0 ? DEFAULT_SUITES : positionals;
  const files = values.files === undefined ? FILES : Number(values.files);
  const isUnknown = names.some((name) => SUITES[name] === undefined);
  if (values.help === true || isUnknown || !Number.isSafeInteger(files) || files < 1) {
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
    await runSuite(SUITES[name] as (bench: BenchContext) => Promise<void>, { files, report });
  }
  return missedCount === 0 ? 0 : 1;
}

async function runSuite(
  suite: (bench: BenchContext) => Promise<void>,
  settings: Pick<BenchContext, "files" | "report">,
): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), "ashlar-bench-"));
  let cluster: LocalCluster | null = null;
  try {
    cluster = await LocalCluster.up({
      directory: join(work, "cluster"),
      masters: 3,
      chunkservers: 3,
      basePort: 0,
      timeoutMs: 30_000,
    });
    const { masters, clusterId } = cluster;
    await using fileSystem = await connect({ masters, clusterId });
    const cpu = await CpuMeter.of(cluster);
    await suite({ cluster, fileSystem, cpu, work, ...settings });
  } finally {
    await cluster?.down();
    await rm(work, { recursive: true, force: true });
  }
}
