import { describeCheck, describeResult, formatTable } from "./mutants-table.ts";
import { MUTANTS, type MutantsReport, runMutants } from "./run-mutants.ts";

/** Number of concurrent processes. A simulation uses one core. */
const JOBS = 2;

/**
 * Runs `npm run simulate -- --mutants` and prints the result of each planted bug.
 *
 * @returns the exit status: 1 if a bug survives or a check fails without a bug, 2 for an unknown
 *   name.
 */
export async function runMutantsCommand(names: true | readonly string[]): Promise<number> {
  const unknown = names === true ? [] : names.filter((name) => !isMutant(name));
  if (unknown.length > 0) {
    console.error(`No such mutant: ${unknown.join(", ")}. Known mutants:`);
    for (const { name, bug } of MUTANTS) console.error(`  ${name}: ${bug}`);
    return 2;
  }
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
  const mutants = names === true ? MUTANTS : MUTANTS.filter(({ name }) => names.includes(name));
  const report = await runMutants({
    mutants,
    jobs: JOBS,
    onResult: (result) => console.error(describeResult(result)),
  });
  console.log(formatTable(report));
  return summarize(report);
}

/** Prints the summary. @returns the exit status: 0 if every check passes and every bug is caught */
function summarize({ failingChecks, results }: MutantsReport): number {
  for (const { check, checkResult } of failingChecks) {
    const reason = checkResult.kind === "passed" ? "" : checkResult.reason;
    console.log(`${describeCheck(check)} fails without a bug, so it proves nothing: ${reason}`);
  }
  const caughtCount = results.filter(({ checkResult }) => checkResult.kind === "failed").length;
  console.log(`${caughtCount} of ${results.length} planted bugs are caught`);
  return failingChecks.length === 0 && caughtCount === results.length ? 0 : 1;
}

const isMutant = (name: string): boolean => MUTANTS.some((mutant) => mutant.name === name);
