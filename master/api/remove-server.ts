import { AshlarError } from "../../shared/base/errors.ts";
import type { ChunkId, ServerId } from "../../shared/base/ids.ts";
import type { removeServer as method } from "../../shared/protocol/fleet-api.ts";
import { type MasterDeps, propose } from "./leader-context.ts";

/** Chunks that one call checks. Takes a few ms. */
const CHECKED_PER_CALL = 500;
/** Replicas and purges that the entry of the removal removes. The leader removes the others. */
const RECORDS_MAX = 500;

type Request = ReturnType<(typeof method)["parseRequest"]>;
type Response = ReturnType<(typeof method)["parseResponse"]>;

/**
 * Checks the next chunks of a server, and removes the server after the last one.
 *
 * @throws {AshlarError} NOT_FOUND, PRECONDITION_FAILED, VERSION_MISMATCH below the feature level of
 *   the command
 */
export async function removeServer(deps: MasterDeps, request: Request): Promise<Response> {
  const { serverId, isForced } = request;
  const namespace = deps.namespace();
  if (namespace.isServerRemoved(serverId)) {
    return { isRemoved: true, checkedTo: null, missingCount: 0 };
  }
  checkServer(deps, serverId, isForced);
  const page = namespace.chunksOfServer(serverId, request.checkedTo, CHECKED_PER_CALL);
  const lacking = page.filter((chunkId) => lacksCopies(deps, chunkId, request));
  const missingCount = request.missingCount + lacking.length;
  const checkedTo = page.at(-1) ?? request.checkedTo;
  if (page.length === CHECKED_PER_CALL) return { isRemoved: false, checkedTo, missingCount };
  if (missingCount > 0) throw lacksCopiesError(serverId, missingCount, isForced);
  await propose(deps, { kind: "remove-server", serverId, recordsMax: RECORDS_MAX });
  deps.fleet.remove(serverId);
  deps.env.log.info("A chunkserver was removed from the cluster", { serverId });
  return { isRemoved: true, checkedTo, missingCount };
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

/** Returns whether a chunk has too few copies on other available servers. */
function lacksCopies(deps: MasterDeps, chunkId: ChunkId, { serverId, isForced }: Request): boolean {
  const chunk = deps.namespace().chunk(chunkId);
  if (chunk === undefined) return false;
  const others = chunk.replicas.filter(
    (replica) => replica.serverId !== serverId && deps.fleet.isAvailable(replica.serverId),
  );
  return others.length < (isForced ? 1 : chunk.copiesWanted);
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
        ? "ashlar verify names the files without a readable copy: remove or restore them first"
        : "Wait for repair (ashlar status), or pass --force to accept chunks that have one copy elsewhere",
    },
  );
}
