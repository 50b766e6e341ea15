import { describeCounts } from "./faults.ts";
import { Simulation } from "./simulation.ts";
import { commandOf, type SimulationOptions } from "./simulation-options.ts";
import type { SimulationResult } from "./simulation-result.ts";
import { Violation } from "./violation.ts";

/** Minimum number of answers and faults per virtual second. A seed with fewer has failed. */
const ANSWERS_PER_SECOND_MIN = 0.3;
const FAULTS_PER_SECOND_MIN = 1 / 20;
/** One election when the cluster is founded, one after the power failure at the end. */
const TERMS_MIN = 2;
/** Number of trace events in a report. */
const REPORT_EVENTS_MAX = 60;
/** A run with this many seeds is expected to contain every kind of fault. */
const SEEDS_MIN_FOR_ALL_FAULTS = 10;

/** Outcome of one seed. A failed seed has a report for a person. */
export type SeedOutcome =
  | { readonly kind: "passed"; readonly result: SimulationResult }
  | { readonly kind: "failed"; readonly result: SimulationResult; readonly report: string };

/** Runs one simulation. A violation is an outcome with kind `failed`, not an exception. */
export async function runSeed(options: SimulationOptions): Promise<SeedOutcome> {
  const simulation = new Simulation(options);
  try {
    const result = await simulation.run();
    const shortcoming = findShortcoming(options, result);
    if (shortcoming === null) return { kind: "passed", result };
    throw new Violation(`Too little activity to prove anything: ${shortcoming}`);
  } catch (error) {
    return { kind: "failed", result: simulation.result(), report: report(simulation, error) };
  }
}

/** Returns the reason why a run had too little activity to prove anything. Null: it had enough. */
function findShortcoming({ seconds }: SimulationOptions, result: SimulationResult): string | null {
  const { answeredCount, termCount, stateComparisonCount, feedEventCount } = result;
  const faultCount = Object.values(result.faultCounts).reduce((sum, count) => sum + count, 0);
  if (answeredCount < ANSWERS_PER_SECOND_MIN * seconds) {
    return `only ${answeredCount} calls were answered`;
  }
  if (faultCount < FAULTS_PER_SECOND_MIN * seconds) {
    return `only ${faultCount} faults were injected`;
  }
  if (termCount < TERMS_MIN) return "the leader never changed";
  if (feedEventCount === 0) return "the watches received no event";
  return stateComparisonCount === 0 ? "no two states were compared" : null;
}

/** Formats the violation, the last related events and the command that repeats the run. */
function report(simulation: Simulation, error: unknown): string {
  const { environment, options } = simulation;
  const concerns = error instanceof Violation ? error.concerns : [];
  const events = environment.trace.last(
    REPORT_EVENTS_MAX,
    ({ host, text }) =>
      concerns.length === 0 ||
      host === "simulation" ||
      concerns.some((concern) => host === concern || text.includes(concern)),
  );
  const lines = [
    `Seed ${options.seed} fails after ${(environment.clock.monotonicMs() / 1000).toFixed(1)} s of virtual time:`,
    describeError(error),
    `The last ${events.length} related events:`,
    ...events,
    `Repeat with: ${commandOf(options)}`,
  ];
  return lines.join("\n");
}

function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const stack = error.cause instanceof Error ? `\n${error.cause.stack}` : "";
  return error instanceof Violation ? `${error.message}${stack}` : (error.stack ?? error.message);
}

/** Sums of the results of many seeds. */
export class SimulationTotals {
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
  feedExpired = 0;
  discarded = 0;
  resumedSnapshots = 0;
  readonly corruptionDetections: Record<string, number> = {};
  readonly faults: Record<string, number> = {};

  /** Adds one outcome and the processor time that it took. */
  add({ kind, result }: SeedOutcome, cpuSeconds = 0): void {
    this.cpuSeconds += cpuSeconds;
    this.seeds += 1;
    if (kind === "failed") this.failures += 1;
    this.virtualMs += result.virtualMs;
    this.answered += result.answeredCount;
    this.unknown += result.unknownCount;
    this.terms += result.termCount;
    this.entries += result.committedIndex;
    this.stateComparisons += result.stateComparisonCount;
    this.feedEvents += result.feedEventCount;
    this.feedExpired += result.feedExpiredCount;
    this.discarded += result.discardedCount;
    this.resumedSnapshots += result.resumedSnapshotCount;
    for (const [detector, count] of Object.entries(result.corruptionDetections)) {
      this.corruptionDetections[detector] = (this.corruptionDetections[detector] ?? 0) + count;
    }
    for (const [kind, count] of Object.entries(result.faultCounts)) {
      this.faults[kind] = (this.faults[kind] ?? 0) + count;
    }
  }

  get faultCount(): number {
    return Object.values(this.faults).reduce((sum, count) => sum + count, 0);
  }

  /** Formats the totals as a few lines of text. */
  describe(): string {
    const hours = this.virtualMs / 3_600_000;
    const cpu = `${this.cpuSeconds.toFixed(0)} s of processor time, ${((1000 * this.cpuSeconds) / (3600 * hours)).toFixed(1)} ms per virtual second`;
    const notInjected = Object.keys(this.faults)
      .filter((kind) => this.faults[kind] === 0)
      .join(", ");
    return [
      `${this.seeds} seeds, ${this.failures} failed; ${hours.toFixed(2)} virtual hours; ${cpu}`,
      `${this.answered} calls answered, ${this.unknown} without an answer; ${this.entries} entries committed, ${this.terms} terms with a leader, ${this.resumedSnapshots} snapshots resumed, ${this.stateComparisons} states compared, ${this.feedEvents} feed events received, ${this.feedExpired} watches behind the retention`,
      `${this.faultCount} faults: ${describeCounts(this.faults)}`,
      `Corrupt states were detected by: ${describeCounts(this.corruptionDetections)}; ${this.discarded} answers that they may have changed were discarded`,
      ...(notInjected === "" || this.seeds < SEEDS_MIN_FOR_ALL_FAULTS
        ? []
        : [`NEVER INJECTED: ${notInjected}`]),
      `Per virtual hour: ${perHour(this.answered, hours)} answers, ${perHour(this.faultCount, hours)} faults, ${perHour(this.terms - this.seeds, hours)} changes of leader`,
    ].join("\n");
  }
}

function perHour(count: number, hours: number): string {
  return (count / hours).toFixed(0);
}
