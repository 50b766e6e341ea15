import { hasStandardInput } from "../../shared/platform/procfs.ts";
import { losslessArguments } from "./argument-text.ts";
import type { CliEnv } from "./cli-env.ts";
import { COMMANDS } from "./command-table.ts";
import { EXIT_STATUS, exitStatusOf } from "./exit-status.ts";
import { reportError } from "./report-error.ts";

/** Signals by the exit status of a process that they ended. */
const SIGNALS: ReadonlyMap<number, NodeJS.Signals> = new Map([
  [EXIT_STATUS.interrupted, "SIGINT"],
  [EXIT_STATUS.terminated, "SIGTERM"],
]);

/** The hidden command of the completion scripts. It does not wait for commander to load. */
const COMPLETE = "__complete";

/** Runs the CLI. @param commandLine the arguments after "ashlar" @returns the exit status */
export async function main(
  commandLine: readonly string[],
  env: CliEnv = processEnv(),
): Promise<number> {
  // `ashlar --help | true`: without a listener, the error of a write ends the process.
  env.stdout.on("error", () => {});
  env.stderr.on("error", () => {});
  const [first, ...others] = losslessArguments(commandLine);
  if (first === COMPLETE) {
    const { complete } = await import("./completion/complete.ts");
    return complete(env, COMMANDS, others);
  }
  try {
    const { runProgram } = await import("./program.ts");
    return await runProgram(first === undefined ? [] : [first, ...others], {
      env,
      commands: COMMANDS,
      run: async (definition, invocation) => {
        const { runCommand } = await import("./run-command.ts");
        return runCommand(definition, invocation, { env, commands: COMMANDS });
      },
    });
  } catch (error) {
    reportError(env, error, { json: commandLine.includes("--json") });
    return exitStatusOf(error);
  }
}

/** Returns the ports of this process. The first use of `process.stdin` opens it. */
function processEnv(): CliEnv {
  return {
    get stdin() {
      return process.stdin;
    },
    get hasStdin() {
      return hasStandardInput();
    },
    get umask() {
      return process.umask();
    },
    get stdout() {
      return process.stdout;
    },
    get stderr() {
      return process.stderr;
    },
    variables: process.env,
    workingDirectory: "",
    signals: process,
    exit: exitProcess,
  };
}

/**
 * Ends the process also while a thread is in a system call, for which `process.exit` waits: a signal
 * with its default action ends the process at once, with the same status in a shell.
 */
function exitProcess(status: number): never {
  const signal = SIGNALS.get(status);
  if (signal !== undefined) {
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  }
  process.exit(status);
}
