import { isAshlarError } from "../../shared/base/errors.ts";
import type { ServerId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Intent } from "../../shared/protocol/intent.ts";
import { allocate, type Target } from "../../shared/protocol/namespace-api.ts";
import type { Chunkservers } from "../chunkservers/chunkservers.ts";
import type { Deadline } from "../deadline.ts";
import type { MasterSession } from "../masters/master-session.ts";

/** Maximum number of servers that one call excludes. */
const EXCLUDE_MAX = 64;
/** Timeout for an allocation that avoids recently failed servers. Then they are allowed again. */
const PREFERRED_SERVERS_TIMEOUT_MS = 400;

/** An intent: the permission to write chunks, signed by the masters. */
export interface AcquiredIntent {
  readonly intent: Intent;
  /** Monotonic time before the request. The lifetime of the intent starts no earlier. */
  readonly requestedAtMs: number;
  /** Replicas that the storage class wants. */
  readonly copiesWanted: number;
  /** Replicas that a commit needs at least. */
  readonly copiesMin: number;
}

/** What determines the servers of a chunk. */
export interface Placement {
  /** The file, or the directory of a new file. */
  readonly target: Target;
  /** Default: the storage class of the target. */
  readonly storageClass: string | undefined;
  readonly chunkSizeBytes: number;
}

/** Dependencies of `allocateIntents`. */
export interface AllocationDeps {
  readonly masters: MasterSession;
  readonly chunkservers: Chunkservers;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly hostName: string;
}

/** Intents to allocate. */
export interface IntentRequest {
  readonly count: number;
  /** Servers that each chain begins with. */
  readonly keep: readonly ServerId[];
  /** Servers that no chain contains. */
  readonly exclude: readonly ServerId[];
}

/**
 * Resolves with new intents. Recently failed servers are avoided if there are others.
 *
 * @throws {AshlarError} TOO_FEW_CHUNKSERVERS, NOT_FOUND, and the errors of calls to the masters.
 */
export async function allocateIntents(
  deps: AllocationDeps,
  placement: Placement,
  request: IntentRequest,
  deadline: Deadline,
): Promise<AcquiredIntent[]> {
  const avoided = [...new Set([...request.exclude, ...deps.chunkservers.penalizedServers()])]
    .filter((serverId) => !request.keep.includes(serverId))
    .slice(0, EXCLUDE_MAX);
  if (avoided.length > 0) {
    try {
      const preferred = { ...request, exclude: avoided, timeoutMs: PREFERRED_SERVERS_TIMEOUT_MS };
      return await call(deps, placement, preferred, deadline);
    } catch (error) {
      deadline.check();
      // A recently failed server is better than none. The masters may also have no leader.
      if (!isAshlarError(error) || error.retry === "never") throw error;
    }
  }
  const { timeoutMs } = deps;
  return await call(deps, placement, { ...request, exclude: [], timeoutMs }, deadline);
}

async function call(
  { masters, clock, hostName }: AllocationDeps,
  { target, storageClass, chunkSizeBytes }: Placement,
  request: IntentRequest & { readonly timeoutMs: number },
  deadline: Deadline,
): Promise<AcquiredIntent[]> {
  const requestedAtMs = clock.monotonicMs();
  const { intents, copiesWanted, copiesMin } = await masters.call(
    allocate,
    {
      target,
      ...(storageClass === undefined ? {} : { storageClass }),
      count: request.count,
      chunkSizeBytes,
      exclude: [...request.exclude],
      keep: [...request.keep],
      clientHost: hostName,
    },
    { signal: deadline.signal, timeoutMs: deadline.remainingMs(request.timeoutMs) },
  );
  return intents.map((intent) => ({ intent, requestedAtMs, copiesWanted, copiesMin }));
}
