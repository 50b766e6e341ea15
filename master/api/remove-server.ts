import { AshlarError } from "../../shared/base/errors.ts";
import type { ChunkId, ServerId } from "../../shared/base/ids.ts";
import type { removeServer as method } from "../../shared/protocol/fleet-api.ts";
import { type MasterDeps, propose } from "./leader-context.ts";
import type { RemovalCheck } from "./server-removal.ts";

/** Chunks that one call checks. Takes a few ms. */
const CHECKED_PER_CALL = 500;
/** Replicas and purges that the entry of the removal removes. The leader removes the others. */
const RECORDS_MAX = 500;

type Request = ReturnType<(typeof method)["parseRequest"]>;
type Response = ReturnType<(typeof method)["parseResponse"]>;

/**
 * Checks the next chunks of a server, and removes the server after the last one. The check starts again if what it
 * found does not hold at its end, or if another leader began it.
 *
 * @throws {AshlarError} NOT_FOUND, PRECONDITION_FAILED, CHANGE_UNDER_WAY, UNAVAILABLE, VERSION_MISMATCH below the
 *   feature level of the command
 */
export async function removeServer(deps: MasterDeps, request: Request): Promise<Response> {
  const { serverId, isForced } = request;
  const { fleet, removal } = deps;
  const namespace = deps.namespace();
  if (namespace.isServerRemoved(serverId)) {
    return { isRemoved: true, checkedTo: null, missingCount: 0 };
  }
  checkServer(deps, serverId, isForced);
  const check = removal.continue({ ...request, term: deps.consensus.status().term });
  const page = namespace.chunksOfServer(serverId, check.checkedTo, CHECKED_PER_CALL);
  for (const chunkId of page) countCopies(deps, chunkId, check);
  check.checkedTo = page.at(-1) ?? check.checkedTo;
  if (page.length === CHECKED_PER_CALL) return responseOf(check);
  if (check.missingCount > 0) {
    removal.end(check);
    throw lacksCopiesError(serverId, check.missingCount, isForced);
  }
  if (!removal.holds(check, (other) => fleet.hasCertainCopies(other))) {
    removal.restart(check);
    return responseOf(check);
  }
  try {
    // In the turn of `holds`: see `ServerRemoval`.
    await propose(deps, { kind: "remove-server", serverId, recordsMax: RECORDS_MAX });
  } finally {
    removal.end(check);
  }
  fleet.remove(serverId);
  deps.env.log.info("A chunkserver was removed from the cluster", { serverId });
  return { isRemoved: true, checkedTo: null, missingCount: 0 };
}

function responseOf({ checkedTo, missingCount }: RemovalCheck): Response {
  return { isRemoved: false, checkedTo, missingCount };
}

/** @throws {AshlarError} NOT_FOUND, PRECONDITION_FAILED */
function checkServer(deps: MasterDeps, serverId: ServerId, isForced: boolean): void {
  const server = deps.namespace().server(serverId);
  if (server === undefined) {
    throw new AshlarError("NOT_FOUND", `No such chunkserver: ${serverId}`, {
      hint: "ashlar status --json lists the ids of the chunkservers",
    });
  }
  const liveness = deps.fleet.liveness(serverId);
  if (isForced || liveness === "dead" || liveness === "stopped" || liveness === "refused") return;
  throw new AshlarError(
    "PRECONDITION_FAILED",
    `Cannot remove chunkserver ${serverId}: expected a server that is stopped, dead or refused: ${server.address} is ${liveness}`,
    { hint: "Stop its process first, or pass --force" },
  );
}

/** Counts the copies of a chunk on other servers, and notes whether there are too few. */
function countCopies(
  { fleet, namespace }: MasterDeps,
  chunkId: ChunkId,
  check: RemovalCheck,
): void {
  const chunk = namespace().chunk(chunkId);
  if (chunk === undefined) return;
  const others = chunk.replicas
    .map((replica) => replica.serverId)
    .filter((other) => other !== check.serverId && fleet.hasCertainCopies(other));
  if (others.length < (check.isForced ? 1 : chunk.copiesWanted)) check.missingCount += 1;
  for (const other of others) check.countedServers.add(other);
}

function lacksCopiesError(
  serverId: ServerId,
  missingCount: number,
  isForced: boolean,
): AshlarError {
  const expected = isForced ? "at least one copy" : "all copies";
  return new AshlarError(
    "PRECONDITION_FAILED",
    `Cannot remove chunkserver ${serverId}: expected ${expected} of its chunks on other live servers: ${missingCount} chunks lack copies`,
    {
      details: { missingCount },
      hint: isForced
        ? "ashlar verify names the files without a readable copy: remove or restore them first. After a change of leader, wait until the other chunkservers are live (ashlar status)"
        : "Wait for repair (ashlar status), or pass --force to accept chunks that have one copy elsewhere",
    },
  );
}
