import { AshlarError } from "../../shared/base/errors.ts";
import type { ServerId } from "../../shared/base/ids.ts";
import { type Intent, type ServerLocation, signIntent } from "../../shared/protocol/intent.ts";
import type { allocate, StorageClass } from "../../shared/protocol/namespace-api.ts";
import { missingCapabilities } from "../placement/choose-servers.ts";
import { chunkKeysOf, newestOf } from "./chunk-keys.ts";
import { beginTerm, type MasterDeps, requireFacts, requireLeader } from "./leader-context.ts";

type Request = ReturnType<(typeof allocate)["parseRequest"]>;
type Response = ReturnType<(typeof allocate)["parseResponse"]>;

/**
 * Chooses the write chains of `request.count` chunks and signs an intent for each. Proposes no
 * entry: an intent that is never used has no effect on the state.
 *
 * @throws {AshlarError} NOT_LEADER; NOT_FOUND if the storage class does not exist; UNAVAILABLE if a
 *   server in `keep` is unknown; NO_SPACE if only space is missing; TOO_FEW_CHUNKSERVERS with the
 *   reason of each unsuitable server
 */
export function allocateChunks(deps: MasterDeps, request: Request): Response {
  requireLeader(deps.consensus);
  beginTerm(deps);
  const namespace = deps.namespace();
  const { intentLifetimeMs: lifetimeMs } = requireFacts(namespace);
  const { key } = newestOf(chunkKeysOf(namespace));
  const storageClass = storageClassFor(deps, request);
  const exclude = new Set(request.exclude);
  // A server is in a chain once.
  const keep = [...new Set(request.keep)].map((serverId) => locationOf(deps, serverId));
  const intents: Intent[] = [];
  for (let chunk = 0; chunk < request.count; chunk += 1) {
    const servers = deps.fleet.chooseServers({
      chunkBytes: request.chunkSizeBytes,
      count: Math.max(storageClass.copies, keep.length),
      racksMin: storageClass.racksMin,
      keep,
      exclude,
      clientHost: request.clientHost,
      requires: request.requires ?? [],
    });
    if (servers.length < storageClass.copiesMin) throw cannotPlace(deps, request, storageClass);
    const intent = {
      servers,
      issuedIndex: namespace.appliedIndex,
      lifetimeMs,
    };
    const signature = signIntent(deps.env.hasher, key, intent);
    intents.push({ ...intent, signature });
  }
  return { intents, copiesWanted: storageClass.copies, copiesMin: storageClass.copiesMin };
}

function storageClassFor(deps: MasterDeps, request: Request): StorageClass {
  const namespace = deps.namespace();
  if (request.storageClass === undefined) return namespace.storageClassFor(request.target);
  const named = namespace.storageClass(request.storageClass);
  if (named !== undefined) return named;
  const names = namespace.storageClasses().map((each) => each.name);
  throw new AshlarError(
    "NOT_FOUND",
    `No such storage class: ${request.storageClass}: the storage classes are ${names.join(", ")}`,
  );
}

/**
 * Returns the address of a server that the chain must keep. Falls back to the recorded address: a
 * server that already has part of the chunk may not have registered with a new leader yet.
 *
 * @throws {AshlarError} UNAVAILABLE
 */
function locationOf(deps: MasterDeps, serverId: ServerId): ServerLocation {
  const location = deps.fleet.location(serverId) ?? deps.namespace().server(serverId);
  if (location !== undefined) return location;
  throw new AshlarError(
    "UNAVAILABLE",
    `Cannot keep chunkserver ${serverId}: expected a registered chunkserver`,
  );
}

/**
 * Returns the error. It contains the reason of each unsuitable server, so that it can be repaired. A
 * lack of space does not pass by itself: NO_SPACE ends the retries of the client. A lack of servers
 * may be over soon.
 */
function cannotPlace(deps: MasterDeps, request: Request, storageClass: StorageClass): AshlarError {
  const { requires = [] } = request;
  const usable = deps.fleet.servers().filter(({ location, isDiskFailed, capabilities }) => {
    const isCapable = missingCapabilities(requires, capabilities).length === 0;
    return isCapable && !isDiskFailed && deps.fleet.liveness(location.serverId) === "live";
  });
  const full = usable.filter(({ space }) => space.availableBytes < request.chunkSizeBytes);
  const isFull =
    deps.fleet.settling() === null &&
    usable.length >= storageClass.copiesMin &&
    usable.length - full.length < storageClass.copiesMin;
  const reasons = deps.fleet.servers().map(({ location, space, isDiskFailed, capabilities }) => {
    const liveness = deps.fleet.liveness(location.serverId);
    const name = `${location.address} (${location.serverId.slice(0, 8)})`;
    if (liveness !== "live") return `${name}: ${liveness}`;
    if (isDiskFailed) return `${name}: its disk has failed`;
    const missing = missingCapabilities(requires, capabilities);
    if (missing.length > 0) return `${name}: its version lacks ${missing.join(", ")}`;
    if (space.availableBytes < request.chunkSizeBytes) {
      return `${name}: expected ${request.chunkSizeBytes} bytes above its reserve: current value is ${space.availableBytes}`;
    }
    if (request.exclude.includes(location.serverId)) return `${name}: excluded by the client`;
    return `${name}: suitable`;
  });
  const list = reasons.length === 0 ? "no chunkserver has registered" : reasons.join("; ");
  if (isFull) {
    return new AshlarError(
      "NO_SPACE",
      `Cannot place a chunk of class "${storageClass.name}": expected space on at least ${serversText(storageClass.copiesMin, "chunkserver")}: ${list}`,
      {
        hint: "Add a chunkserver, or remove files and run `ashlar history trim`: the history keeps the space of removed files",
      },
    );
  }
  return new AshlarError(
    "TOO_FEW_CHUNKSERVERS",
    `Cannot place a chunk of class "${storageClass.name}": expected at least ${serversText(storageClass.copiesMin, "suitable chunkserver")}: ${list}`,
    { hint: "ashlar status" },
  );
}

const serversText = (count: number, noun: string): string =>
  count === 1 ? `1 ${noun}` : `${count} ${noun}s`;
