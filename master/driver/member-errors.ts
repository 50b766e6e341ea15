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
 * Why a member that cannot go on takes nothing more. A state that is damaged says nothing of what
 * other members would answer: callers are to ask them.
 */
export function haltReason(error: AshlarError): AshlarError {
  if (error.code === "DISK_FAILED" || error.code === "NO_SPACE") return error;
  return new AshlarError("UNAVAILABLE", `This member stops: ${error.message}`, { cause: error });
}
