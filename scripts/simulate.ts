/**
 * Simulates whole clusters: `npm run simulate -- --help`.
 *
 * Each seed is a cluster of production code in one process, over a virtual clock, network and
 * disks, with faults. The same seed, options and version produce the same events in the same order.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import {
  runSeed,
  type SeedOutcome,
  SimulationTotals,
} from "../test/simulation/cluster/run-seed.ts";
import { runAsWorker, runPool, WORKER_FLAG } from "../test/simulation/cluster/seed-pool.ts";

import {
  optionsOf,
  type SimulationOptions,
} from "../test/simulation/cluster/simulation-options.ts";
import { runMutantsCommand } from "../test/simulation/mutants/mutants-command.ts";

/** Parsed flags of the command line. */
interface Flags {
  readonly seed: number;
  readonly seeds?: number;
  readonly minutes?: number;
  readonly seconds?: number;
  readonly nodes?: Pick<SimulationOptions, "masters" | "chunkservers" | "clients">;
  readonly workload?: SimulationOptions["workload"];
  readonly pace?: number;
  readonly jobs: number;
  readonly keepGoing?: boolean;
  readonly replay?: string;
  readonly save?: string;
  readonly mutants?: true | readonly string[];
}

/** Content of a file that `--save` writes and `--replay` reads. */
interface Recording {
  readonly options: SimulationOptions;
  readonly traceHash: string;
}

process.exitCode = await main(process.argv.slice(2));

async function main(words: readonly string[]): Promise<number> {
  if (words[0] === WORKER_FLAG) {
    runAsWorker();
    return 0;
  }
  const flags = parse(words);
  if (flags.mutants !== undefined) return runMutantsCommand(flags.mutants);
  if (flags.replay !== undefined) return replay(flags.replay);
  const totals = new SimulationTotals();
  const count = flags.seeds ?? (flags.minutes === undefined ? 1 : Number.POSITIVE_INFINITY);
  const endMs = Date.now() + (flags.minutes ?? Number.POSITIVE_INFINITY) * 60_000;
  let seed = flags.seed;
  const isOver = (): boolean => {
    const isFailed = totals.failures > 0 && !flags.keepGoing;
    return isFailed || seed >= flags.seed + count || Date.now() >= endMs;
  };
  await runPool({
    program: import.meta.url,
    jobs: Math.min(flags.jobs, count),
    next: () => {
      if (isOver()) return null;
      seed += 1;
      return optionsFor(seed - 1, flags);
    },
    onOutcome: (options, outcome, cpuSeconds) => {
      totals.add(outcome, cpuSeconds);
      report(options, outcome, flags);
    },
  });
  console.log(totals.describe());
  return totals.failures > 0 ? 1 : 0;
}

function optionsFor(seed: number, flags: Flags): SimulationOptions {
  const { seconds, nodes, workload, pace } = flags;
  return optionsOf(seed, {
    ...nodes,
    ...(seconds === undefined ? {} : { seconds }),
    ...(workload === undefined ? {} : { workload }),
    ...(pace === undefined ? {} : { pace }),
  });
}

function report(options: SimulationOptions, outcome: SeedOutcome, { save }: Flags): void {
  const { seed, masters, chunkservers, clients, workload } = options;
  const { virtualMs, eventCount, answeredCount, traceHash } = outcome.result;
  console.log(
    `seed ${seed} ${outcome.kind}: ${(virtualMs / 1000).toFixed(1)} virtual s, ${eventCount} events, ${answeredCount} answers, ${masters} masters, ${chunkservers} chunkservers, ${clients} clients, ${workload}, trace ${traceHash}`,
  );
  if (outcome.kind === "passed") return;
  console.error(outcome.report);
  if (save === undefined) return;
  mkdirSync(save, { recursive: true });
  const path = join(save, `seed-${seed}.json`);
  const recording: Recording = { options, traceHash };
  writeFileSync(path, `${JSON.stringify(recording, null, 2)}\n`);
  console.error(`Replay: npm run simulate -- --replay ${path}`);
}

async function replay(path: string): Promise<number> {
  const { options, traceHash } = JSON.parse(readFileSync(path, "utf8")) as Recording;
  const outcome = await runSeed(options);
  console.log(outcome.kind === "passed" ? "The seed passes now" : outcome.report);
  const isSame = outcome.result.traceHash === traceHash;
  console.log(
    isSame
      ? "The events are equal to the recording"
      : "The events differ from the recording: the version may differ",
  );
  return outcome.kind === "passed" ? 0 : 1;
}

function parse(words: readonly string[]): Flags {
  const program = new Command("simulate")
    .description("Simulates whole clusters with faults, from seeds.")
    .option("--seed <n>", "the first seed", whole, 1)
    .option("--seeds <n>", "number of seeds (default: 1)", whole)
    .option("--minutes <m>", "run seeds for this many real minutes", positive)
    .option(
      "--jobs <n>",
      "seeds at the same time, each in a process",
      whole,
      availableParallelism(),
    )
    .option("--keep-going", "continue after a seed that fails")
    .option("--seconds <s>", "virtual seconds of faults in each seed (default: 360)", positive)
    .option("--nodes <MxCxK>", "masters, chunkservers, clients: 3x4x3 (default: by seed)", shape)
    .addOption(
      new Option("--workload <name>", "operations of the clients (default: by seed)").choices([
        "mixed",
        "names",
        "files",
      ]),
    )
    .option(
      "--pace <n>",
      "multiply the failure detection times of masters and chunkservers by n (default: by seed)",
      whole,
    )
    .option("--save <dir>", "write a file for --replay for each seed that fails")
    .option("--replay <file>", "run only the seed that such a file recorded")
    .option(
      "--mutants [names...]",
      "plant each known bug (or the named ones) into a copy of the sources and check that it is caught",
    );
  return program.parse(words, { from: "user" }).opts<Flags & Record<string, unknown>>();
}

function whole(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError("expected a whole number");
  return Number(text);
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("expected a number above 0");
  return value;
}

function shape(text: string): Flags["nodes"] {
  const found = /^(\d)x(\d+)(?:x(\d+))?$/.exec(text);
  const [masters, chunkservers, clients] = [found?.[1], found?.[2], found?.[3] ?? "3"].map(Number);
  if (!masters || !chunkservers || !clients || chunkservers < 3) {
    throw new InvalidArgumentError(
      "expected MxC or MxCxK with at least 3 chunkservers, as in 3x4x3",
    );
  }
  return { masters, chunkservers, clients };
}
