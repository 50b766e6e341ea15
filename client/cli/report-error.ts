import { isAshlarError, toErrorData } from "../../shared/base/errors.ts";
import type { CliEnv } from "./cli-env.ts";
import { DamageFound, Degraded, PartialFailure } from "./exit-status.ts";

interface ReportOptions {
  readonly json: boolean;
  readonly verbosity?: number;
  readonly shownHints?: Set<string>;
}

/**
 * Prints an error on stderr: its message and its hint; with `verbosity` also its causes. With
 * `json` it prints one object: {"error":{code, message, hint, retry, path?}}.
 *
 * @param options.shownHints hints that were printed before and are not repeated; `error`'s is added
 */
export function reportError({ stderr }: CliEnv, error: unknown, options: ReportOptions): void {
  // The failed items were reported before, or stdout shows the problem.
  if (error instanceof PartialFailure || error instanceof Degraded) return;
  if (error instanceof DamageFound) return;
  if (options.json) {
    const { details, ...data } = toErrorData(error);
    const retry = isAshlarError(error) ? error.retry : "never";
    const line = { error: { ...data, retry, ...details } };
    stderr.write(`${JSON.stringify(line)}\n`);
    return;
  }
  stderr.write(`${textOf(error, options).join("\n")}\n`);
}

function textOf(error: unknown, options: ReportOptions): string[] {
  const message = error instanceof Error ? error.message : String(error);
  const lines = [`ashlar: ${message}`];
  const isVerbose = (options.verbosity ?? 0) > 0;
  if (isAshlarError(error)) {
    const { hint } = error;
    if (hint !== undefined && options.shownHints?.has(hint) !== true) {
      lines.push(`  hint: ${hint}`);
      options.shownHints?.add(hint);
    }
    for (let cause = error.cause; isVerbose && cause instanceof Error; cause = cause.cause) {
      lines.push(`  caused by: ${cause.message}`);
    }
  } else if (isVerbose && error instanceof Error) {
    lines.push(error.stack ?? "");
  }
  return lines;
}
