import { AshlarError } from "../../shared/base/errors.ts";

/** Another member leads, or none. `leaderAddress` is a hint for the caller. */
export function notLeader(leaderAddress: string | null): AshlarError {
  const who = leaderAddress === null ? "no leader is known" : `the leader is at ${leaderAddress}`;
  return new AshlarError("NOT_LEADER", `Cannot do this here: this member does not lead: ${who}`, {
    details: leaderAddress === null ? {} : { leaderAddress },
  });
}

export function commitUnknown(reason: string): AshlarError {
  return new AshlarError(
    "COMMIT_UNKNOWN",
    `Cannot tell whether the command was committed: ${reason}`,
  );
}

export function noLeader(): AshlarError {
  return new AshlarError("NO_LEADER", "Cannot confirm a read: no leader is known");
}

/**
 * Why a member that cannot go on takes nothing more. Its disk or its state says nothing of what other
 * members would answer: callers are to ask them, so this is not the disk's own error, after which
 * nobody tries again.
 */
export function haltError(error: AshlarError): AshlarError {
  const message = `This member takes part no longer: ${error.message}`;
  return new AshlarError("UNAVAILABLE", message, { cause: error });
}
