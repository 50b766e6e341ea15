import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DRIVER_MUTANTS } from "./driver-mutants.ts";
import { type Check, type Edit, edited, type Mutant } from "./mutant.ts";
import { RAFT_MUTANTS } from "./raft-mutants.ts";
import { type Judgement, judge } from "./run-check.ts";
import { STATE_MUTANTS } from "./state-mutants.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
/** What the checks read. */
const SOURCES = ["master", "chunkserver", "shared", "client", "test"];
const SETTINGS = ["package.json", "tsconfig.json"];

export const MUTANTS: readonly Mutant[] = [...RAFT_MUTANTS, ...DRIVER_MUTANTS, ...STATE_MUTANTS];

export interface MutantResult {
  readonly mutant: Mutant;
  readonly judgement: Judgement;
  readonly tookMs: number;
}

export interface MutantsReport {
  /** Checks that fail without any bug: what they say of mutants means nothing. */
  readonly brokenChecks: readonly { readonly check: Check; readonly judgement: Judgement }[];
  readonly results: readonly MutantResult[];
}

/**
 * Plants each of `mutants` by itself and sees whether its check notices; before that, that the check
 * passes without it. `onResult` hears of each when it is done.
 */
export async function runMutants(options: {
  readonly mutants: readonly Mutant[];
  /** Processes at a time. */
  readonly jobs: number;
  readonly onResult: (result: MutantResult) => void;
}): Promise<MutantsReport> {
  const { mutants, jobs, onResult } = options;
  const brokenChecks: { check: Check; judgement: Judgement }[] = [];
  const results: MutantResult[] = [];
  const baselines = checksOf(mutants).map((check) => async (tree: Tree) => {
    const judgement = await judge(tree.directory, check);
    if (judgement.kind !== "passed") brokenChecks.push({ check, judgement });
  });
  const trials = mutants.map((mutant) => async (tree: Tree) => {
    const startMs = performance.now();
    const judgement = await tree.with(mutant.edits, () => judge(tree.directory, mutant.caughtBy));
    const result = { mutant, judgement, tookMs: performance.now() - startMs };
    results.push(result);
    onResult(result);
  });
  const queue = [...baselines, ...trials];
  const workers = Array.from({ length: Math.min(jobs, queue.length) }, async () => {
    const tree = new Tree();
    try {
      for (let task = queue.shift(); task !== undefined; task = queue.shift()) await task(tree);
    } finally {
      tree.remove();
    }
  });
  await Promise.all(workers);
  const order = (each: MutantResult): number => mutants.indexOf(each.mutant);
  results.sort((one, other) => order(one) - order(other));
  return { brokenChecks, results };
}

/** Each check once; of a simulation, with the highest number of seeds that any mutant is given. */
function checksOf(mutants: readonly Mutant[]): readonly Check[] {
  const checks = new Map<string, Check>();
  for (const { caughtBy } of mutants) {
    const name = caughtBy.kind === "test" ? caughtBy.file : caughtBy.name;
    const known = checks.get(name);
    const seedsMax = caughtBy.kind === "simulation" ? caughtBy.seedsMax : 0;
    if (known?.kind === "simulation" && known.seedsMax >= seedsMax) continue;
    checks.set(name, caughtBy);
  }
  return [...checks.values()];
}

/** A copy of the sources, to plant bugs in. */
class Tree {
  readonly directory = mkdtempSync(join(tmpdir(), "ashlar-mutants-"));
  /** Also when the run is broken off. */
  readonly #onExit = (): void => rmSync(this.directory, { recursive: true, force: true });

  constructor() {
    process.once("exit", this.#onExit);
    for (const name of SOURCES) {
      cpSync(join(ROOT, name), join(this.directory, name), { recursive: true });
    }
    for (const name of SETTINGS) cpSync(join(ROOT, name), join(this.directory, name));
    symlinkSync(join(ROOT, "node_modules"), join(this.directory, "node_modules"), "junction");
  }

  /** Runs `task` with `edits` in place, and takes them back. */
  async with<T>(edits: readonly Edit[], task: () => Promise<T>): Promise<T> {
    const originals = new Map<string, string>();
    try {
      for (const edit of edits) {
        const path = join(this.directory, edit.file);
        const source = readFileSync(path, "utf8");
        if (!originals.has(path)) originals.set(path, source);
        writeFileSync(path, edited(source, edit));
      }
      return await task();
    } finally {
      for (const [path, source] of originals) writeFileSync(path, source);
    }
  }

  remove(): void {
    this.#onExit();
    process.off("exit", this.#onExit);
  }
}
