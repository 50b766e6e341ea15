import { losslessArguments } from "./argument-text.ts";
import { COMMANDS } from "./command-table.ts";
import { exitStatusOf } from "./exit-status.ts";
import { runProgram } from "./program.ts";
import { reportError } from "./report-error.ts";

/** Runs the CLI. @param commandLine the arguments after "ashlar" @returns the exit status */
export async function main(commandLine: readonly string[]): Promise<number> {
  try {
    return await runProgram(losslessArguments(commandLine), COMMANDS, async (...invocation) => {
      const { runCommand } = await import("./run-command.ts");
      return runCommand(...invocation, COMMANDS);
    });
  } catch (error) {
    reportError(error, { json: commandLine.includes("--json") });
    return exitStatusOf(error);
  }
}
