import { isAshlarError, toErrorData } from "../../shared/base/errors.ts";
import { DamageFound, Degraded, PartialFailure } from "./exit-status.ts";

/**
 * Says on stderr what went wrong: what was tried, what is wanted, what is there, and the command
 * that helps. With `json` as one object: {"error":{code, message, hint, retry, path?}}.
 *
 * @param tried what the command was about to do: "put ./a to /data/a"
 */
export function reportError(
  error: unknown,
  options: { readonly json: boolean; readonly tried?: string; readonly verbosity?: number },
): void {
  // Each item was reported when it failed; what was found stands on stdout.
  if (error instanceof PartialFailure || error instanceof Degraded) return;
  if (error instanceof DamageFound) return;
  if (options.json) {
    const { details, ...data } = toErrorData(error);
    const retry = isAshlarError(error) ? error.retry : "never";
    const line = { error: { ...data, retry, ...details } };
    process.stderr.write(`${JSON.stringify(line)}\n`);
    return;
  }
  process.stderr.write(`${textOf(error, options).join("\n")}\n`);
}

function textOf(
  error: unknown,
  options: { readonly tried?: string; readonly verbosity?: number },
): string[] {
  const message = error instanceof Error ? error.message : String(error);
  const tried = options.tried === undefined ? "" : `cannot ${options.tried}: `;
  const lines = [`ashlar: ${tried}${message}`];
  const isVerbose = (options.verbosity ?? 0) > 0;
  if (isAshlarError(error)) {
    if (error.hint !== undefined) lines.push(`  hint: ${error.hint}`);
    for (let cause = error.cause; isVerbose && cause instanceof Error; cause = cause.cause) {
      lines.push(`  caused by: ${cause.message}`);
    }
  } else if (isVerbose && error instanceof Error) {
    lines.push(error.stack ?? "");
  }
  return lines;
}
