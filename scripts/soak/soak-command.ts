import { fileURLToPath } from "node:url";
import { isAshlarError } from "../../shared/base/errors.ts";
import { runInNamespaces, whenInterrupted } from "./namespaces.ts";
import type { FaultKind } from "./options.ts";
import type { CommonOptions } from "./parse-options.ts";
import { missingRequirements } from "./requirements.ts";

/** One soak test as a command. */
export interface SoakCommand<
  Options extends CommonOptions,
  Report extends { readonly ok: boolean },
> {
  /** Name of the starting script in scripts/. */
  readonly starter: string;
  /** Text of --help. */
  readonly usage: string;
  /** @throws {AshlarError} INVALID_ARGUMENT */
  readonly parse: (commandLine: readonly string[]) => Options | "help";
  /** The faults whose programs the run needs. */
  readonly faultsOf: (options: Options) => readonly FaultKind[];
  /** Runs the test in its namespaces. */
  readonly run: (
    options: Options & { readonly directory: string; readonly signal: AbortSignal },
  ) => Promise<Report>;
  /** Formats the report for people. */
  readonly describe: (report: Report) => string;
}

/**
 * Runs a soak test. Resolves with 0 if all promises held, 1 if not, 2 for wrong usage or a machine that lacks a
 * requirement, 130 if interrupted.
 */
export async function runSoakCommand<
  Options extends CommonOptions,
  Report extends { readonly ok: boolean },
>(command: SoakCommand<Options, Report>, commandLine: readonly string[]): Promise<number> {
  let options: Options | "help";
  try {
    options = command.parse(commandLine);
  } catch (error) {
    if (!isAshlarError(error)) throw error;
    process.stderr.write(`${error.message}\n\n${command.usage}`);
    return 2;
  }
  if (options === "help") {
    process.stdout.write(command.usage);
    return 0;
  }
  if (options.inside !== null) return runInside(command, options, options.inside);
  const missing = await missingRequirements(command.faultsOf(options));
  if (missing.length > 0) {
    const list = missing.join("\n  ");
    process.stderr.write(`Cannot run the soak test: missing on this machine:\n  ${list}\n`);
    return 2;
  }
  const starter = fileURLToPath(new URL(`../../../scripts/${command.starter}`, import.meta.url));
  return runInNamespaces({ starter, commandLine, isKept: options.keep });
}

async function runInside<Options extends CommonOptions, Report extends { readonly ok: boolean }>(
  command: SoakCommand<Options, Report>,
  options: Options,
  directory: string,
): Promise<number> {
  const signal = whenInterrupted();
  const report = await command.run({ ...options, directory, signal });
  process.stdout.write(`${options.json ? JSON.stringify(report) : command.describe(report)}\n`);
  process.stdin.pause();
  if (signal.aborted) return 130;
  return report.ok ? 0 : 1;
}
