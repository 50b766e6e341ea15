import Table from "cli-table3";
import type { Check, Mutant } from "./mutant.ts";
import type { Judgement } from "./run-check.ts";
import type { MutantResult, MutantsReport } from "./run-mutants.ts";

const COLUMN_WIDTHS = [30, 36, 24, 6, 9, 60];

/** One row for each mutant: where it is, who noticed, at which seed, after how long, and how. */
export function drawTable({ results }: MutantsReport): string {
  const table = new Table({
    head: ["mutant", "where", "caught by", "seed", "seconds", "how"],
    colWidths: COLUMN_WIDTHS,
    wordWrap: true,
    style: { head: [], border: [], compact: true },
  });
  for (const { mutant, judgement, tookMs } of results) {
    table.push([
      mutant.name,
      whereOf(mutant),
      judgement.kind === "failed" ? describeCheck(mutant.caughtBy) : "nobody",
      judgement.kind === "failed" ? String(judgement.seed ?? "") : "",
      (tookMs / 1_000).toFixed(1),
      describe(judgement),
    ]);
  }
  return table.toString();
}

/** One line for a mutant that is done. */
export function describeResult({ mutant, judgement }: MutantResult): string {
  const sign = judgement.kind === "failed" ? "caught" : "SURVIVED";
  const seed =
    judgement.kind === "failed" && judgement.seed !== null ? `, seed ${judgement.seed}` : "";
  return `${sign} ${mutant.name} (${describeCheck(mutant.caughtBy)}${seed}): ${describe(judgement)}`;
}

export function describeCheck(check: Check): string {
  return check.kind === "test" ? check.file : `simulation of ${check.name}`;
}

function describe(judgement: Judgement): string {
  if (judgement.kind === "passed") return "the check passes with the bug in place";
  return judgement.kind === "broken" ? `no proof: ${judgement.what}` : judgement.what;
}

function whereOf({ edits }: Mutant): string {
  return [...new Set(edits.map((edit) => edit.file))].join("\n");
}
