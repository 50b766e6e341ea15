import { describeFaults, type FaultKind } from "./faults.ts";
import { Simulation, type SimulationOptions, type SimulationResult } from "./simulation.ts";
import { commandOf } from "./simulation-options.ts";
import { Violation } from "./violation.ts";

/** Answers to clients in a virtual second, and faults, below which a run proves too little. */
const ANSWERS_MIN = 1;
const FAULTS_MIN = 1 / 15;
const EVENTS_TOLD = 60;

/** What one seed came to. */
export type SeedOutcome =
  | { readonly kind: "passed"; readonly result: SimulationResult }
  | { readonly kind: "failed"; readonly result: SimulationResult; readonly report: string };

/** Runs one simulation. Never throws for what it finds. */
export async function runSeed(options: SimulationOptions): Promise<SeedOutcome> {
  const simulation = new Simulation(options);
  try {
    return { kind: "passed", result: await simulation.run() };
  } catch (error) {
    return { kind: "failed", result: simulation.result(), report: report(simulation, error) };
  }
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
  readonly faults: Partial<Record<FaultKind, number>> = {};

  add({ kind, result }: SeedOutcome): void {
    this.seeds += 1;
    if (kind === "failed") this.failures += 1;
    this.virtualMs += result.virtualMs;
    this.answered += result.answeredCount;
    this.unknown += result.unknownCount;
    this.terms += result.termCount;
    this.entries += result.committedIndex;
    this.stateComparisons += result.stateComparisons;
    for (const [kind, count] of Object.entries(result.faultCounts) as [FaultKind, number][]) {
      this.faults[kind] = (this.faults[kind] ?? 0) + count;
    }
  }

  get faultCount(): number {
    return Object.values(this.faults).reduce((sum, count) => sum + count, 0);
  }

  /** Why the run proves too little; null: it does not. */
  get shortcoming(): string | null {
    const seconds = this.virtualMs / 1000;
    if (this.answered < ANSWERS_MIN * seconds) {
      return `only ${this.answered} calls were answered in ${Math.round(seconds)} virtual seconds`;
    }
    if (this.faultCount < FAULTS_MIN * seconds) {
      return `only ${this.faultCount} faults were made in ${Math.round(seconds)} virtual seconds`;
    }
    return this.stateComparisons === 0 ? "no two states were compared" : null;
  }

  describe(): string {
    return [
      `${this.seeds} seeds, ${this.failures} failed; ${(this.virtualMs / 3_600_000).toFixed(2)} virtual hours`,
      `${this.answered} calls answered, ${this.unknown} without an answer; ${this.entries} entries committed, ${this.terms} terms with a leader, ${this.stateComparisons} states compared`,
      `${this.faultCount} faults: ${describeFaults(this.faults)}`,
    ].join("\n");
  }
}
