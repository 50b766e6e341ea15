import { ERROR_CODES, isAshlarError } from "../../shared/base/errors.ts";

/** Exit statuses of the CLI. Held against docs/exit-codes.md by a test. */
export const EXIT_STATUS = {
  done: 0,
  other: 1,
  usage: 2,
  notFound: 3,
  notPermitted: 4,
  temporary: 5,
  refused: 6,
  integrity: 7,
  partial: 8,
  unknownOutcome: 9,
  deadline: 124,
  interrupted: 130,
  terminated: 143,
} as const;

/** Some of several items failed; each was reported when it did. */
export class PartialFailure extends Error {
  override readonly name = "PartialFailure";
  readonly failedCount: number;

  constructor(failedCount: number) {
    super(`${failedCount} items failed`);
    this.failedCount = failedCount;
  }
}

/** The command did its work and found that not all is well. Nothing to report. */
export class Degraded extends Error {
  override readonly name = "Degraded";
}

/** The command ran until it was stopped, as it is meant to. Nothing to report. */
export class Stopped extends Error {
  override readonly name = "Stopped";
}

/** What was examined is damaged; the lines printed say what. */
export class DamageFound extends Error {
  override readonly name = "DamageFound";
}

/** The exit status for what a command threw. */
export function exitStatusOf(error: unknown): number {
  if (error instanceof PartialFailure) return EXIT_STATUS.partial;
  if (error instanceof DamageFound) return EXIT_STATUS.integrity;
  if (isAshlarError(error)) return ERROR_CODES[error.code].exitStatus;
  return EXIT_STATUS.other;
}
