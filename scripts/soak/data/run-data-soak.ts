import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Journal } from "../journal.ts";
import { waitFor } from "../run-tool.ts";
import { SoakCluster } from "../soak-cluster.ts";
import { DataFaults } from "./data-faults.ts";
import type { DataSoakOptions } from "./data-options.ts";
import { DataReader } from "./data-reader.ts";
import { type DataCounts, DataWriter, HISTORY_RETENTION_MS, textOf } from "./data-writer.ts";
import { type Descriptors, Resources } from "./resources.ts";
import { Transfers } from "./transfers.ts";

const GIB = 1024 ** 3;
/** Sparse: up to four times this much of the disk of the machine. Holds the content of HISTORY_RETENTION_MS. */
const CHUNKSERVER_DISK_BYTES = 12 * GIB;
const SERVE_TIMEOUT_MS = 60_000;
/** Longest time until the transfers in progress have ended after the run. */
const END_TIMEOUT_MS = 60_000;
/** Longest time until idle connections are closed and the descriptors are as before. */
const QUIET_TIMEOUT_MS = 30_000;
/** Extent files that a chunkserver keeps open, and some for its index and log. */
const FILES_KEPT_MAX = 280;
/** Connections between two processes that stay open for later calls. */
const SOCKETS_KEPT_MAX = 24;

/** Result of a run, as printed with --json. */
export interface DataSoakReport {
  readonly schema: "ashlar.soak-data/1";
  readonly ok: boolean;
  readonly seconds: number;
  readonly counts: DataCounts;
  /** Longest time without progress of a transfer that had begun, outside of kills. */
  readonly stallMsMax: number;
  /** Longest time until the first byte of a transfer, outside of kills. */
  readonly beginMsMax: number;
  readonly kills: number;
  readonly freezes: number;
  /** Largest anonymous memory of a process of each role. */
  readonly memoryBytesMax: Readonly<Record<string, number>>;
  readonly descriptors: Readonly<
    Record<string, { readonly before: Descriptors; readonly after: Descriptors }>
  >;
  readonly violations: readonly string[];
  /** Reasons why the run proves too little. */
  readonly shortcomings: readonly string[];
}

/** State of a run. */
interface Run {
  readonly options: DataSoakOptions;
  readonly signal: AbortSignal;
  readonly journal: Journal;
  readonly cluster: SoakCluster;
  readonly transfers: Transfers;
  readonly resources: Resources;
  readonly faults: DataFaults;
  readonly counts: DataCounts;
  descriptors: DataSoakReport["descriptors"];
}

/** Runs the soak test inside its namespaces. Resolves with the report even if a promise did not hold. */
export async function runDataSoak(
  options: DataSoakOptions & { readonly directory: string; readonly signal: AbortSignal },
): Promise<DataSoakReport> {
  const startMs = performance.now();
  const journal = new Journal(join(options.directory, "journal.jsonl"));
  const cluster = new SoakCluster(options.directory);
  const transfers = new Transfers(journal, options.stallMsMax);
  const run: Run = {
    ...{ options, journal, cluster, transfers, signal: options.signal, descriptors: {} },
    resources: new Resources(cluster, journal),
    faults: new DataFaults(cluster, journal, transfers),
    counts: {
      ...{ written: 0, aborted: 0, writtenBytes: 0, read: 0, paused: 0, left: 0 },
      expired: 0,
      readBytes: 0,
    },
  };
  try {
    await cluster.make({
      chunkserverDiskBytes: CHUNKSERVER_DISK_BYTES,
      historyRetentionMs: HISTORY_RETENTION_MS,
    });
    await cluster.startAll();
    const problem = await cluster.waitUntilWhole(SERVE_TIMEOUT_MS);
    if (problem !== null) throw new Error(`Cannot start the cluster: ${problem}`);
    await load(run);
  } catch (error) {
    if (!options.signal.aborted) journal.violation(`The run cannot continue: ${textOf(error)}`);
  } finally {
    run.resources.close();
    transfers.close();
    if (!options.signal.aborted) await cluster.tearDown();
    await journal.close();
  }
  return reportOf(run, Math.round((performance.now() - startMs) / 1000));
}

/** Runs the clients and the faults for the time of the run, then compares the descriptors. */
async function load(run: Run): Promise<void> {
  const { options, journal, cluster, transfers, counts, resources } = run;
  const before = resources.descriptors();
  const fileSystem = await cluster.connect("data", SERVE_TIMEOUT_MS);
  await fileSystem.mkdir("/data");
  const deps = { fileSystem, journal, transfers, counts };
  let stamp = 0;
  const nextStamp = (): number => {
    stamp += 1;
    return stamp;
  };
  const writers = numbers(options.writers).map((each) => new DataWriter(deps, each, nextStamp));
  const readers = numbers(options.readers).map((each) => new DataReader(deps, each, writers));
  let isOver = false;
  const loops = [...writers, ...readers].map(async (client) => {
    while (!isOver && !run.signal.aborted) await client.step();
  });
  run.faults.start();
  await sleep(options.minutes * 60_000, undefined, { signal: run.signal });
  isOver = true;
  await run.faults.end();
  const ended = Promise.all(loops).then(() => "ended");
  if ((await Promise.race([ended, sleep(END_TIMEOUT_MS)])) === undefined) {
    journal.violation(`Transfers have not ended ${END_TIMEOUT_MS} ms after the run`);
  }
  await fileSystem[Symbol.asyncDispose]();
  await waitFor(
    () => leftovers(before, resources.descriptors()).length === 0,
    QUIET_TIMEOUT_MS,
    500,
  );
  const after = resources.descriptors();
  for (const text of leftovers(before, after)) journal.violation(text);
  run.descriptors = Object.fromEntries(
    [...before].flatMap(([name, old]) => {
      const now = after.get(name);
      return now === undefined ? [] : [[name, { before: old, after: now }]];
    }),
  );
}

/** Returns what the processes have kept beyond the connections and files that they may keep open. */
function leftovers(
  before: ReadonlyMap<string, Descriptors>,
  after: ReadonlyMap<string, Descriptors>,
): string[] {
  const texts: string[] = [];
  for (const [name, { sockets, others }] of after) {
    const old = before.get(name) ?? { sockets: 0, others: 0 };
    if (sockets > old.sockets + SOCKETS_KEPT_MAX) {
      texts.push(`${name} has ${sockets} sockets after the run: ${old.sockets} before`);
    }
    if (others > old.others + FILES_KEPT_MAX) {
      texts.push(`${name} has ${others} open files after the run: ${old.others} before`);
    }
  }
  return texts;
}

function reportOf(run: Run, seconds: number): DataSoakReport {
  const { counts, transfers, faults, resources, journal, options, descriptors } = run;
  const shortcomings: string[] = [];
  if (counts.written < options.writers) shortcomings.push(`${counts.written} files written`);
  if (counts.read < options.readers) shortcomings.push(`${counts.read} files read`);
  if (counts.aborted === 0) shortcomings.push("no write was aborted");
  if (counts.paused === 0) shortcomings.push("no reader paused");
  if (faults.killCount === 0) shortcomings.push("no server was killed");
  if (faults.freezeCount === 0) shortcomings.push("no disk was slow");
  const { violations } = journal;
  return {
    schema: "ashlar.soak-data/1",
    ok: violations.length === 0 && shortcomings.length === 0,
    seconds,
    counts,
    stallMsMax: Math.round(transfers.stallMsMax),
    beginMsMax: Math.round(transfers.beginMsMax),
    kills: faults.killCount,
    freezes: faults.freezeCount,
    memoryBytesMax: resources.memoryBytesMax,
    descriptors,
    violations,
    shortcomings,
  };
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}
