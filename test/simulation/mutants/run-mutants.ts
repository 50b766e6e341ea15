import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../../support/repository.ts";
import { CALL_MUTANTS } from "./call-mutants.ts";
import { COPY_MUTANTS } from "./copy-mutants.ts";
import { DRIVER_MUTANTS } from "./driver-mutants.ts";
import { FLOW_MUTANTS } from "./flow-mutants.ts";
import { GROUP_MUTANTS } from "./group-mutants.ts";
import { applyEdit, type Check, type Edit, type Mutant } from "./mutant.ts";
import { RAFT_MUTANTS } from "./raft-mutants.ts";
import { RESTORE_MUTANTS } from "./restore-mutants.ts";
import { type CheckResult, runCheck } from "./run-check.ts";
import { STATE_MUTANTS } from "./state-mutants.ts";

/** Folders that the checks read. */
const SOURCES = ["master", "chunkserver", "shared", "client", "scripts", "test"];
const SETTINGS = ["package.json", "tsconfig.json"];

/** All planted bugs. */
export const MUTANTS: readonly Mutant[] = [
  ...RAFT_MUTANTS,
  ...DRIVER_MUTANTS,
  ...STATE_MUTANTS,
  ...CALL_MUTANTS,
  ...COPY_MUTANTS,
  ...RESTORE_MUTANTS,
  ...GROUP_MUTANTS,
  ...FLOW_MUTANTS,
];

/** Result of the check of one mutant. */
export interface MutantResult {
  readonly mutant: Mutant;
  readonly checkResult: CheckResult;
  readonly tookMs: number;
}

/** Results of all checks. */
export interface MutantsReport {
  /** Checks that fail without a bug. Their results for mutants prove nothing. */
  readonly failingChecks: readonly { readonly check: Check; readonly checkResult: CheckResult }[];
  readonly results: readonly MutantResult[];
}

/**
 * Runs the check of each mutant over a copy of the sources with only this mutant. Each check is
 * also run once without a mutant, and must pass. `onResult` is called when the check of a mutant
 * has ended. The results have the order of `mutants`.
 */
export async function runMutants(options: {
  readonly mutants: readonly Mutant[];
  /** Number of child processes at the same time. */
  readonly jobs: number;
  readonly onResult: (result: MutantResult) => void;
}): Promise<MutantsReport> {
  const { mutants, jobs, onResult } = options;
  const failingChecks: { check: Check; checkResult: CheckResult }[] = [];
  const results: MutantResult[] = [];
  const baselines = checksOf(mutants).map((check) => async (copy: SourceCopy) => {
    const checkResult = await runCheck(copy.directory, check);
    if (checkResult.kind !== "passed") failingChecks.push({ check, checkResult });
  });
  const trials = mutants.map((mutant) => async (copy: SourceCopy) => {
    const startMs = performance.now();
    const checkResult = await copy.with(mutant.edits, () =>
      runCheck(copy.directory, mutant.caughtBy),
    );
    const result = { mutant, checkResult, tookMs: performance.now() - startMs };
    results.push(result);
    onResult(result);
  });
  const queue = [...baselines, ...trials];
  const workers = Array.from({ length: Math.min(jobs, queue.length) }, async () => {
    const copy = new SourceCopy();
    try {
      for (let task = queue.shift(); task !== undefined; task = queue.shift()) await task(copy);
    } finally {
      copy.remove();
    }
  });
  await Promise.all(workers);
  const order = (each: MutantResult): number => mutants.indexOf(each.mutant);
  results.sort((one, other) => order(one) - order(other));
  return { failingChecks, results };
}

/** Returns each check once. A simulation has the highest `seedsMax` of all mutants that use it. */
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

/** A copy of the sources in a temporary directory, in which bugs are planted. */
class SourceCopy {
  readonly directory = mkdtempSync(join(tmpdir(), "ashlar-mutants-"));
  /** Removes the copy if the process exits before `remove` is called. */
  readonly #onExit = (): void => rmSync(this.directory, { recursive: true, force: true });

  constructor() {
    process.once("exit", this.#onExit);
    for (const name of SOURCES) {
      cpSync(join(ROOT, name), join(this.directory, name), { recursive: true });
    }
    for (const name of SETTINGS) cpSync(join(ROOT, name), join(this.directory, name));
    symlinkSync(join(ROOT, "node_modules"), join(this.directory, "node_modules"), "junction");
  }

  /** Applies `edits`, runs `task`, and restores the files, even if `task` rejects. */
  async with<T>(edits: readonly Edit[], task: () => Promise<T>): Promise<T> {
    const originals = new Map<string, string>();
    try {
      for (const edit of edits) {
        const path = join(this.directory, edit.file);
        const source = readFileSync(path, "utf8");
        if (!originals.has(path)) originals.set(path, source);
        writeFileSync(path, applyEdit(source, edit));
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
