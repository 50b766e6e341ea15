/**
 * A bug that somebody could have made, planted into a copy of the sources to see it caught. The
 * product holds no switches for it: an edit is made in the copy, and fails if the text it replaces
 * does not stand there exactly once.
 */
export interface Mutant {
  /** In words with hyphens: names it on the command line. */
  readonly name: string;
  /** What the code does then, in the present tense. */
  readonly bug: string;
  /** The rule that it breaks: a section of the paper, a guarantee, a decision. */
  readonly breaks: string;
  readonly edits: readonly [Edit, ...Edit[]];
  readonly caughtBy: Check;
}

export interface Edit {
  /** From the root, with "/" between names. */
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly find: string;
  readonly replace: string;
}

/** Who must notice. */
export type Check =
  /** A simulation, with one of the seeds 1 to `seedsMax`. */
  | { readonly kind: "simulation"; readonly name: SimulationName; readonly seedsMax: number }
  /** One test of a file, whatever the seed. */
  | { readonly kind: "test"; readonly file: string };

/**
 * `raft`: the core; `log` and `namespace`: the driver under it, with a log or files for a state;
 * `cluster`: everything, clients and chunkservers too.
 */
export type SimulationName = "raft" | "log" | "namespace" | "cluster";

export const inRaft = (seedsMax: number): Check => simulation("raft", seedsMax);
export const inLog = (seedsMax: number): Check => simulation("log", seedsMax);
export const inNamespace = (seedsMax: number): Check => simulation("namespace", seedsMax);
export const inCluster = (seedsMax: number): Check => simulation("cluster", seedsMax);
export const inTest = (file: string): Check => ({ kind: "test", file });

function simulation(name: SimulationName, seedsMax: number): Check {
  return { kind: "simulation", name, seedsMax };
}

/** @throws if the text is not there exactly once: the code has moved on, and so must the mutant. */
export function edited(source: string, { file, find, replace }: Edit): string {
  const parts = source.split(find);
  const [before, behind] = parts;
  if (parts.length === 2 && before !== undefined && behind !== undefined && find !== replace) {
    return before + replace + behind;
  }
  const count = parts.length - 1;
  throw new Error(
    `Cannot plant a bug in ${file}: expected to find once, not ${count} times: ${find}`,
  );
}
