import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";

/**
 * Returns the error of a call. The error of a method that the master does not know says that its version is older:
 * "This server has no call masters.finalize-upgrade" alone does not say what to do.
 */
export function withOlderMaster(error: unknown, methodName: string): unknown {
  if (!isAshlarError(error, "UNSUPPORTED")) return error;
  return new AshlarError(
    "UNSUPPORTED",
    `Cannot call ${methodName}: the leader runs an older version, which does not have it`,
    {
      cause: error,
      details: error.details,
      hint: 'Upgrade all masters first: docs/operations.md, "Stopping and starting"',
    },
  );
}
