import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { DiskFull } from "../consensus.ts";

/**
 * Returns the error of an operation that only the leader performs.
 *
 * @param leaderAddress null if no leader is known
 */
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

/**
 * Returns the error of a command in the log whose outcome this member no longer learns, because it
 * lost its leadership or halted.
 */
export function commitUnknown(reason: string): AshlarError {
  return new AshlarError(
    "COMMIT_UNKNOWN",
    `Cannot determine whether the command was committed: ${reason}`,
  );
}

/**
 * Returns the error of an operation that needs a leader while no leader is known or the new leader
 * is not ready.
 */
export function noLeader(): AshlarError {
  return new AshlarError("NO_LEADER", "Cannot serve this request: no leader is ready");
}

/**
 * Returns the error of a command while the disk of the state is full. While this leader hands over, the
 * caller repeats the command, which is not in the log, and reaches the successor.
 */
export function stateFull({ isYielding }: { readonly isYielding: boolean }): AshlarError {
  if (isYielding) return noLeader();
  return new AshlarError("NO_SPACE", "Cannot propose a command: the disk of this leader is full");
}

/**
 * Returns the error with which a halted member rejects requests. Its code is UNAVAILABLE and not
 * that of `error`: the local disk or state failed, so the caller must retry at another member, and
 * clients never retry the codes of a failed disk or state.
 */
export function haltError(error: AshlarError): AshlarError {
  const message = `This member has halted: ${error.message}`;
  return new AshlarError("UNAVAILABLE", message, { cause: error });
}

/** Returns the disk of this member that is full, or null. `logFailure`: `RaftLog.failure`. */
export function diskFullOf(logFailure: AshlarError | null, isStateFull: boolean): DiskFull | null {
  if (isAshlarError(logFailure, "NO_SPACE")) return { kind: "log", reason: logFailure.message };
  return isStateFull ? { kind: "state", reason: "the disk of the state is full" } : null;
}
