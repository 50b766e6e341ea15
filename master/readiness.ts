import type { ErrorCode } from "../shared/base/errors.ts";
import type { ConsensusStatus } from "./consensus.ts";

/** Answer of `GET /readyz`: see `HealthOptions` of shared/platform. */
interface Readiness {
  readonly ready: boolean;
  readonly reason?: string;
  readonly code?: ErrorCode;
}

/**
 * Returns ready if this master, at `address`, is a member and knows a leader, so that it serves or
 * redirects calls. A leader without space for the state refuses every change, so it is not ready.
 */
export function readiness(status: ConsensusStatus, address: string): Readiness {
  const reason = problemOf(status, address);
  if (reason === null) return { ready: true };
  const isRemoved = status.memberPhase === "removed";
  return { ready: false, reason, ...(isRemoved ? { code: "MASTER_REMOVED" } : {}) };
}

function problemOf(status: ConsensusStatus, address: string): string | null {
  const { leaderId, memberPhase, memberId, waitingReason, diskFull, role } = status;
  if (memberPhase === "joining") {
    return `this master waits to be added to the cluster: ashlar master add ${memberId}=${address}`;
  }
  if (memberPhase === "removed") return "this master was removed from the cluster";
  if (waitingReason !== null) return `this master ${waitingReason}`;
  if (diskFull?.kind === "log") {
    return `the log of this master has failed: ${diskFull.reason}; free space and restart it`;
  }
  if (diskFull !== null && role === "leader") {
    return `this master leads and refuses every change: ${diskFull.reason}`;
  }
  return leaderId === null ? "no leader is known" : null;
}
