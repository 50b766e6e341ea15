import Table from "cli-table3";
import type { Check, Mutant } from "./mutant.ts";
import type { CheckResult } from "./run-check.ts";
import type { MutantResult, MutantsReport } from "./run-mutants.ts";

const COLUMN_WIDTHS = [34, 36, 24, 6, 9, 60];

/** Formats a table with one row per mutant: files, check, seed, duration and reported failure. */
export function formatTable({ results }: MutantsReport): string {
  const table = new Table({
    head: ["mutant", "files", "caught by", "seed", "seconds", "failure"],
    colWidths: COLUMN_WIDTHS,
    wordWrap: true,
    style: { head: [], border: [], compact: true },
  });
  for (const { mutant, checkResult, tookMs } of results) {
    table.push([
      mutant.name,
      editedFiles(mutant),
      checkResult.kind === "failed" ? describeCheck(mutant.caughtBy) : "none",
      checkResult.kind === "failed" ? String(checkResult.seed ?? "") : "",
      (tookMs / 1_000).toFixed(1),
      describe(checkResult),
    ]);
  }
  return table.toString();
}

/** Formats the progress line that is printed when the check of one mutant has ended. */
export function describeResult({ mutant, checkResult }: MutantResult): string {
  const isCaught = checkResult.kind === "failed";
  const seed = isCaught && checkResult.seed !== null ? `, seed ${checkResult.seed}` : "";
  const check = `${describeCheck(mutant.caughtBy)}${seed}`;
  return `${isCaught ? "caught" : "SURVIVED"} ${mutant.name} (${check}): ${describe(checkResult)}`;
}

/** Returns the name of a check: the file of a test, or the name of a simulation. */
export function describeCheck(check: Check): string {
  return check.kind === "test" ? check.file : `simulation of ${check.name}`;
}

function describe(checkResult: CheckResult): string {
  if (checkResult.kind === "passed") return "the check passes with the planted bug";
  return checkResult.kind === "inconclusive"
    ? `inconclusive: ${checkResult.reason}`
    : checkResult.reason;
}

function editedFiles({ edits }: Mutant): string {
  return [...new Set(edits.map((edit) => edit.file))].join("\n");
}
