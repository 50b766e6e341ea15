import { describeFaults } from "./faults.ts";
import { Simulation, type SimulationOptions, type SimulationResult } from "./simulation.ts";
import { commandOf } from "./simulation-options.ts";
import { Violation } from "./violation.ts";

/** In a virtual second of its life: below this a seed proves too little, and has failed. */
const ANSWERS_MIN = 0.3;
const FAULTS_MIN = 1 / 20;
/** The cluster is founded, and all its power fails at the end. */
const TERMS_MIN = 2;
const EVENTS_TOLD = 60;
/** In so many seeds every kind of fault comes. */
const SEEDS_FOR_ALL = 10;

/** What one seed came to. */
export type SeedOutcome =
  | { readonly kind: "passed"; readonly result: SimulationResult }
  | { readonly kind: "failed"; readonly result: SimulationResult; readonly report: string };

/** Runs one simulation. Never throws for what it finds. */
export async function runSeed(options: SimulationOptions): Promise<SeedOutcome> {
  const simulation = new Simulation(options);
  try {
    const result = await simulation.run();
    const lack = shortcomingOf(options, result);
    if (lack === null) return { kind: "passed", result };
    throw new Violation(`The run proves too little: ${lack}`);
  } catch (error) {
    return { kind: "failed", result: simulation.result(), report: report(simulation, error) };
  }
}

function shortcomingOf({ seconds }: SimulationOptions, result: SimulationResult): string | null {
  const { answeredCount, termCount, stateComparisons, feedEvents } = result;
  const faultCount = Object.values(result.faultCounts).reduce((sum, count) => sum + count, 0);
  if (answeredCount < ANSWERS_MIN * seconds) return `only ${answeredCount} calls were answered`;
  if (faultCount < FAULTS_MIN * seconds) return `only ${faultCount} faults were made`;
  if (termCount < TERMS_MIN) return "no leader but the first was elected";
  if (feedEvents === 0) return "the feed told nothing";
  return stateComparisons === 0 ? "no two states were compared" : null;
}

/** What broke, where, the last events that have to do with it, and how to see it again. */
function report(simulation: Simulation, error: unknown): string {
  const { world, options } = simulation;
  const concerns = error instanceof Violation ? error.concerns : [];
  const events = world.trace.last(
    EVENTS_TOLD,
    ({ host, text }) =>
      concerns.length === 0 ||
      host === "world" ||
      concerns.some((concern) => host === concern || text.includes(concern)),
  );
  const lines = [
    `Seed ${options.seed} fails after ${(world.clock.monotonicMs() / 1000).toFixed(1)} s of virtual time:`,
    describeError(error),
    `The last ${events.length} events that concern it:`,
    ...events,
    `Repeat it with: ${commandOf(options)}`,
  ];
  return lines.join("\n");
}

function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const stack = error.cause instanceof Error ? `\n${error.cause.stack}` : "";
  return error instanceof Violation ? `${error.message}${stack}` : (error.stack ?? error.message);
}

/** What many seeds came to. */
export class Totals {
  seeds = 0;
  failures = 0;
  virtualMs = 0;
  answered = 0;
  unknown = 0;
  terms = 0;
  entries = 0;
  stateComparisons = 0;
  feedEvents = 0;
  cpuSeconds = 0;
  feedGaps = 0;
  doubted = 0;
  readonly rotNoticed: Record<string, number> = {};
  readonly faults: Record<string, number> = {};

  add({ kind, result }: SeedOutcome, cpuSeconds = 0): void {
    this.cpuSeconds += cpuSeconds;
    this.seeds += 1;
    if (kind === "failed") this.failures += 1;
    this.virtualMs += result.virtualMs;
    this.answered += result.answeredCount;
    this.unknown += result.unknownCount;
    this.terms += result.termCount;
    this.entries += result.committedIndex;
    this.stateComparisons += result.stateComparisons;
    this.feedEvents += result.feedEvents;
    this.feedGaps += result.feedGaps;
    this.doubted += result.doubtedCount;
    for (const [how, count] of Object.entries(result.rotNoticed)) {
      this.rotNoticed[how] = (this.rotNoticed[how] ?? 0) + count;
    }
    for (const [kind, count] of Object.entries(result.faultCounts)) {
      this.faults[kind] = (this.faults[kind] ?? 0) + count;
    }
  }

  get faultCount(): number {
    return Object.values(this.faults).reduce((sum, count) => sum + count, 0);
  }

  describe(): string {
    const hours = this.virtualMs / 3_600_000;
    const cpu = `${this.cpuSeconds.toFixed(0)} s of processor time, ${((1000 * this.cpuSeconds) / (3600 * hours)).toFixed(1)} ms for a virtual second`;
    const neverCame = Object.keys(this.faults)
      .filter((kind) => this.faults[kind] === 0)
      .join(", ");
    return [
      `${this.seeds} seeds, ${this.failures} failed; ${hours.toFixed(2)} virtual hours; ${cpu}`,
      `${this.answered} calls answered, ${this.unknown} without an answer; ${this.entries} entries committed, ${this.terms} terms with a leader, ${this.stateComparisons} states compared, ${this.feedEvents} events of the feed, ${this.feedGaps} times behind its retention`,
      `${this.faultCount} faults: ${describeFaults(this.faults)}`,
      `Rotten states were noticed by: ${describeFaults(this.rotNoticed)}; ${this.doubted} answers of their masters were not counted`,
      ...(neverCame === "" || this.seeds < SEEDS_FOR_ALL ? [] : [`NEVER CAME: ${neverCame}`]),
      `In a virtual hour: ${perHour(this.answered, hours)} answers, ${perHour(this.faultCount, hours)} faults, ${perHour(this.terms - this.seeds, hours)} changes of leader`,
    ].join("\n");
  }
}

function perHour(count: number, hours: number): string {
  return (count / hours).toFixed(0);
}
