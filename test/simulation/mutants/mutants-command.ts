import { describeCheck, describeResult, drawTable } from "./mutants-table.ts";
import { MUTANTS, type MutantsReport, runMutants } from "./run-mutants.ts";

/** A simulation takes a core for itself. */
const JOBS = 2;

/**
 * `npm run simulate -- --mutants`: prints what became of each planted bug.
 *
 * @returns the exit status: 1 if a bug survives or nothing is proved, 2 for a name that is unknown.
 */
export async function proveMutants(names: true | readonly string[]): Promise<number> {
  const unknown = names === true ? [] : names.filter((name) => !isMutant(name));
  if (unknown.length > 0) {
    console.error(`There is no mutant ${unknown.join(", ")}; there are:`);
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
  console.log(drawTable(report));
  return conclude(report);
}

function conclude({ brokenChecks, results }: MutantsReport): number {
  for (const { check, judgement } of brokenChecks) {
    const what = judgement.kind === "passed" ? "" : judgement.what;
    console.log(`${describeCheck(check)} fails without any bug, so it proves nothing: ${what}`);
  }
  const caughtCount = results.filter(({ judgement }) => judgement.kind === "failed").length;
  console.log(`${caughtCount} of ${results.length} planted bugs are caught`);
  return brokenChecks.length === 0 && caughtCount === results.length ? 0 : 1;
}

const isMutant = (name: string): boolean => MUTANTS.some((mutant) => mutant.name === name);
