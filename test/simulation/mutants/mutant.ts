/**
 * A bug that is planted into a copy of the sources to prove that a check detects it. The product
 * has no switches for planted bugs: an edit changes the text of the copy, and fails if the text to
 * replace does not occur exactly once.
 */
export interface Mutant {
  /** Words with hyphens. Selects the mutant on the command line. */
  readonly name: string;
  /** The behaviour of the mutated code, in the present tense. */
  readonly bug: string;
  /** The rule that the behaviour violates: a section of the paper, a guarantee, a decision. */
  readonly breaks: string;
  readonly edits: readonly [Edit, ...Edit[]];
  readonly caughtBy: Check;
}

/** Replacement of one text in one source file. */
export interface Edit {
  /** Path relative to the root of the repository, with "/" as the separator. */
  readonly file: string;
  /** Literal text. Must occur exactly once in the file. */
  readonly find: string;
  readonly replace: string;
}

/** The check that must detect a mutant. */
export type Check =
  /** A simulation that must fail with at least one of the seeds 1 to `seedsMax`. */
  | { readonly kind: "simulation"; readonly name: SimulationName; readonly seedsMax: number }
  /** At least one test of the file must fail. */
  | { readonly kind: "test"; readonly file: string };

/**
 * `raft`: the Raft core alone. `log` and `namespace`: the driver over simulated disks, whose state
 * machine is a log or a namespace. `cluster`: masters, chunkservers and clients. `copies`: the same
 * with three chunkservers and many chunks, so that repair needs every server. `flow`: many writers and
 * readers, with slow disks and little memory.
 */
export type SimulationName = "raft" | "log" | "namespace" | "cluster" | "copies" | "flow";

/** Returns a check that runs the simulation of the Raft core. */
export const inRaft = (seedsMax: number): Check => simulation("raft", seedsMax);
/** Returns a check that runs the simulation of the driver with a log as the state machine. */
export const inLog = (seedsMax: number): Check => simulation("log", seedsMax);
/** Returns a check that runs the simulation of the driver with a namespace as the state machine. */
export const inNamespace = (seedsMax: number): Check => simulation("namespace", seedsMax);
/** Returns a check that runs the simulation of whole clusters. */
export const inCluster = (seedsMax: number): Check => simulation("cluster", seedsMax);
/** Returns a check that runs the simulation of clusters with three chunkservers. */
export const inCopies = (seedsMax: number): Check => simulation("copies", seedsMax);
/** Returns a check that runs the simulation of the data path under load. */
export const inFlow = (seedsMax: number): Check => simulation("flow", seedsMax);
/** Returns a check that runs a test file. The path is relative to the root of the repository. */
export const inTest = (file: string): Check => ({ kind: "test", file });

function simulation(name: SimulationName, seedsMax: number): Check {
  return { kind: "simulation", name, seedsMax };
}

/**
 * Returns `source` with the edit applied.
 *
 * @throws {Error} if the text to find does not occur exactly once. The source has changed since the
 *   mutant was written, so the mutant must be updated.
 */
export function applyEdit(source: string, { file, find, replace }: Edit): string {
  const parts = source.split(find);
  const [before, after] = parts;
  if (parts.length === 2 && before !== undefined && after !== undefined && find !== replace) {
    return before + replace + after;
  }
  const count = parts.length - 1;
  throw new Error(
    `Cannot apply an edit to ${file}: expected exactly one occurrence of the text: current count is ${count}: ${find}`,
  );
}
