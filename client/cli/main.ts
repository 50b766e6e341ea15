import { AshlarError } from "../../shared/base/errors.ts";
import { EXIT_STATUS, exitStatusOf } from "./exit-status.ts";
import { buildProgram } from "./program.ts";
import { reportError } from "./report-error.ts";

/** The CLI. `arguments_` are those after the program's name. @returns the exit status */
export async function main(commandLine: readonly string[]): Promise<number> {
  const program = buildProgram();
  try {
    await program.parse(commandLine);
    return program.exitStatus;
  } catch (error) {
    reportError(error, { json: commandLine.includes("--json") });
    return error instanceof AshlarError ? exitStatusOf(error) : EXIT_STATUS.other;
  }
}
