/**
 * Runs whole clusters in simulated worlds: `npm run simulate -- --help`.
 *
 * Each seed is a cluster of production code in one process, over a virtual clock, network and
 * disks, with faults. The same seed, options and version do the same, event by event.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { runSeed, Totals } from "../test/simulation/cluster/run-seeds.ts";
import type { SimulationOptions } from "../test/simulation/cluster/simulation.ts";
import { optionsOf } from "../test/simulation/cluster/simulation-options.ts";
import { proveMutants } from "../test/simulation/mutants/prove-mutants.ts";

interface Flags {
  readonly seed: number;
  readonly seeds?: number;
  readonly minutes?: number;
  readonly seconds?: number;
  readonly nodes?: Pick<SimulationOptions, "masters" | "chunkservers" | "clients">;
  readonly workload?: SimulationOptions["workload"];
  readonly replay?: string;
  readonly save?: string;
  readonly mutants?: true | readonly string[];
}

/** What `--save` writes and `--replay` reads. */
interface Recording {
  readonly options: SimulationOptions;
  readonly traceHash: string;
}

process.exitCode = await main(process.argv.slice(2));

async function main(words: readonly string[]): Promise<number> {
  const flags = parse(words);
  if (flags.mutants !== undefined) return proveMutants(flags.mutants);
  if (flags.replay !== undefined) return replay(flags.replay);
  const totals = new Totals();
  const startMs = Date.now();
  const seedCount = flags.seeds ?? (flags.minutes === undefined ? 1 : Number.POSITIVE_INFINITY);
  const endMs = startMs + (flags.minutes ?? Number.POSITIVE_INFINITY) * 60_000;
  for (let count = 0; count < seedCount && Date.now() < endMs; count += 1) {
    if (!(await runOne(flags.seed + count, flags, totals))) break;
  }
  console.log(totals.describe());
  if (totals.failures > 0) return 1;
  if (totals.shortcoming === null) return 0;
  console.error(`The run proves too little: ${totals.shortcoming}`);
  return 1;
}

/** @returns whether the seed passed */
async function runOne(seed: number, flags: Flags, totals: Totals): Promise<boolean> {
  const { seconds, nodes, workload, save } = flags;
  const options = optionsOf(seed, {
    ...nodes,
    ...(seconds === undefined ? {} : { seconds }),
    ...(workload === undefined ? {} : { workload }),
  });
  const outcome = await runSeed(options);
  totals.add(outcome);
  const { virtualMs, eventCount, answeredCount, traceHash } = outcome.result;
  const { masters, chunkservers, clients } = options;
  console.log(
    `seed ${seed} ${outcome.kind}: ${(virtualMs / 1000).toFixed(1)} virtual s, ${eventCount} events, ${answeredCount} answers, ${masters} masters, ${chunkservers} chunkservers, ${clients} clients, ${options.workload}, trace ${traceHash}`,
  );
  if (outcome.kind === "passed") return true;
  console.error(outcome.report);
  if (save !== undefined) {
    mkdirSync(save, { recursive: true });
    const path = join(save, `seed-${seed}.json`);
    const recording: Recording = { options, traceHash };
    writeFileSync(path, `${JSON.stringify(recording, null, 2)}\n`);
    console.error(`or with: npm run simulate -- --replay ${path}`);
  }
  return false;
}

async function replay(path: string): Promise<number> {
  const { options, traceHash } = JSON.parse(readFileSync(path, "utf8")) as Recording;
  const outcome = await runSeed(options);
  console.log(outcome.kind === "passed" ? "It passes now" : outcome.report);
  const isSame = outcome.result.traceHash === traceHash;
  console.log(
    isSame ? "All events are those of the recording" : "The events differ: another version?",
  );
  return outcome.kind === "passed" ? 0 : 1;
}

function parse(words: readonly string[]): Flags {
  const program = new Command("simulate")
    .description("Runs whole clusters in simulated worlds, from seeds.")
    .option("--seed <n>", "the first seed", whole, 1)
    .option("--seeds <n>", "how many seeds, one after the other (default: 1)", whole)
    .option("--minutes <m>", "seeds until so many real minutes are over", positive)
    .option("--seconds <s>", "virtual seconds of faults for each seed (default: 60)", positive)
    .option("--nodes <MxCxK>", "masters, chunkservers, clients: 3x4x3 (default: by seed)", shape)
    .addOption(
      new Option("--workload <name>", "what the clients do (default: by seed)").choices([
        "mixed",
        "names",
        "files",
      ]),
    )
    .option("--save <dir>", "write a file for --replay when a seed fails")
    .option("--replay <file>", "run what such a file recorded, and nothing else")
    .option(
      "--mutants [names...]",
      "plant each known bug (or those named) into a copy of the sources and see it caught",
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
