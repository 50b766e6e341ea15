import { ERROR_CODES, isAshlarError } from "../base/errors.ts";
import { createLogTo } from "./pino-log.ts";

/** Exit status after an error that is not an AshlarError. An operator must investigate it. */
const STATUS_FATAL = 1;

/** The standard error stream of a process, as far as `reportDaemonError` uses it. */
export interface ErrorStream {
  /** true on a terminal. */
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Returns the exit status of the error's code, or STATUS_FATAL if the error has no code. */
export function daemonStatusOf(error: unknown): number {
  return isAshlarError(error) ? ERROR_CODES[error.code].exitStatus : STATUS_FATAL;
}

/**
 * Reports the error that ends a daemon. On a terminal it prints the message and the hint as text.
 * Otherwise, such as in a service, it prints one JSON line in the format of the log,
 * with the code, the hint, the stack and the causes.
 *
 * @param role "master"
 */
export function reportDaemonError(role: string, error: unknown, stream: ErrorStream): void {
  const message = error instanceof Error ? error.message : String(error);
  const { code, hint } = isAshlarError(error) ? error : {};
  if (stream.isTTY !== true) {
    const log = createLogTo(
      { write: (line) => stream.write(line) },
      { level: "error", fields: { role } },
    );
    log.error(message, {
      ...(code === undefined ? {} : { code }),
      ...(hint === undefined ? {} : { hint }),
      error,
    });
    return;
  }
  stream.write(`ashlar ${role}: ${message}\n`);
  if (hint !== undefined) stream.write(`  hint: ${hint}\n`);
  if (code === undefined && error instanceof Error) stream.write(`${error.stack}\n`);
}
