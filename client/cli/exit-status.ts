import { ERROR_CODES, isAshlarError } from "../../shared/base/errors.ts";
import { formatCount } from "../../shared/display/format.ts";

/** Exit statuses of the CLI. A test compares them with docs/exit-codes.md. */
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

/** Some of several items failed. Each failure has already been reported. */
export class PartialFailure extends Error {
  override readonly name = "PartialFailure";
  readonly failedCount: number;

  constructor(failedCount: number) {
    super(`${formatCount(failedCount, "item")} failed`);
    this.failedCount = failedCount;
  }
}

/** The command succeeded and found a problem that its output shows. Nothing more is reported. */
export class Degraded extends Error {
  override readonly name = "Degraded";
}

/** A command that runs until it is stopped was stopped. Nothing is reported. */
export class Stopped extends Error {
  override readonly name = "Stopped";
}

/** The examined data is damaged. The output names the damage; nothing more is reported. */
export class DamageFound extends Error {
  override readonly name = "DamageFound";
}

/** Returns the exit status for an error that a command threw. */
export function exitStatusOf(error: unknown): number {
  if (error instanceof PartialFailure) return EXIT_STATUS.partial;
  if (error instanceof DamageFound) return EXIT_STATUS.integrity;
  if (isAshlarError(error)) return ERROR_CODES[error.code].exitStatus;
  return EXIT_STATUS.other;
}
