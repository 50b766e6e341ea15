import { AshlarError } from "../../shared/base/errors.ts";

/** The error of an operation that only the leader does. `leaderAddress` is null if it is not known. */
export function notLeader(leaderAddress: string | null): AshlarError {
  const leader =
    leaderAddress === null ? "no leader is known" : `the leader is at ${leaderAddress}`;
  return new AshlarError(
    "NOT_LEADER",
    `Cannot serve this request: this member is not the leader: ${leader}`,
    {
      details: leaderAddress === null ? {} : { leaderAddress },
    },
  );
}

/** The error of a command that is in the log of a member that no longer learns its outcome. */
export function commitUnknown(reason: string): AshlarError {
  return new AshlarError(
    "COMMIT_UNKNOWN",
    `Cannot determine whether the command was committed: ${reason}`,
  );
}

/** The error of an operation that needs a leader while none is known or the new one is not ready. */
export function noLeader(): AshlarError {
  return new AshlarError("NO_LEADER", "Cannot serve this request: no leader is ready");
}

/**
 * The error with which a halted member rejects requests. UNAVAILABLE and not the code of `error`: the
 * local disk or state failed, so the caller must retry at another member, and the codes of a failed
 * disk or state are never retried.
 */
export function haltError(error: AshlarError): AshlarError {
  const message = `This member has halted: ${error.message}`;
  return new AshlarError("UNAVAILABLE", message, { cause: error });
}
