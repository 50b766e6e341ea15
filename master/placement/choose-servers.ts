import { assert } from "../../shared/base/assert.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import type { Candidate, PlacementTable } from "./placement-table.ts";

/** Input of `chooseServers`. */
export interface PlacementRequest {
  readonly table: PlacementTable;
  /** Returns whether a server of the table can store the chunk. Kept servers are not asked. */
  readonly isEligible: (candidate: Candidate) => boolean;
  /** Returns a random number in [0, 1). */
  readonly fraction: () => number;
  /** Length of the chain, including the servers of `keep`. */
  readonly count: number;
  /** Number of racks that the chain must span, if that many exist. */
  readonly racksMin: number;
  /** Servers that are in the chain already. They stay first, in this order. */
  readonly keep: readonly ServerLocation[];
  /** Host of the writer. A new server on this host is placed first, which saves a network hop. */
  readonly clientHost: string;
  /** Capabilities that a server must have. Kept servers are not asked. */
  readonly requires: readonly string[];
}

/** Returns the names of `requires` that are not among `capabilities`. */
export function missingCapabilities(
  requires: readonly string[],
  capabilities: ReadonlySet<string>,
): string[] {
  return requires.filter((name) => !capabilities.has(name));
}

/**
 * Number of eligible servers that are drawn for one place of the chain before the best of them is
 * taken. Bounds the work if almost all servers are on one host or in one rack.
 */
const DRAWS_MAX = 256;

/**
 * Chooses the write chain of one chunk by weighted random draws, under the constraints of racks and
 * hosts. Therefore chunks are spread in proportion to free space, each server shares chunks with every
 * other server, and all servers take part in the repair of a lost server.
 *
 * Racks have priority over hosts, hosts over the order of the draws. If a constraint cannot be met,
 * the chain still has its full length: a copy in the same rack is better than no copy.
 *
 * @returns `count` servers, or fewer if there are not enough.
 */
export function chooseServers(request: PlacementRequest): ServerLocation[] {
  const { table, keep, count, clientHost } = request;
  assert(count >= keep.length, "the chain has room for the kept servers");
  const chosen = [...keep];
  if (chosen.length === count) return chosen;
  const keptIds = new Set(keep.map((server) => server.serverId));
  /** Eligible servers that were drawn and not chosen, in the order of the draws. */
  const passedOver: ServerLocation[] = [];
  const draws = table.draw(request.fraction);
  while (chosen.length < count) {
    const server = nextServer(request, { draws, chosen, passedOver, keptIds });
    if (server === null) break;
    chosen.push(server);
  }
  draws.return();
  return orderForWriter(chosen, keep.length, clientHost);
}

interface Draw {
  readonly draws: Generator<Candidate, void, void>;
  readonly chosen: readonly ServerLocation[];
  readonly passedOver: ServerLocation[];
  readonly keptIds: ReadonlySet<string>;
}

/** Returns the server with the smallest penalty, of equal ones the first. Null if none is left. */
function nextServer(request: PlacementRequest, draw: Draw): ServerLocation | null {
  const { table, racksMin } = request;
  const { draws, chosen, passedOver, keptIds } = draw;
  const racks = new Set(chosen.map((server) => server.rack));
  const hosts = new Set(chosen.map((server) => server.host));
  const wantsRack = racks.size < racksMin;
  const penalty = (server: ServerLocation): number =>
    (wantsRack && racks.has(server.rack) ? 2 : 0) + (hosts.has(server.host) ? 1 : 0);
  const smallest =
    (wantsRack && !table.hasOtherRack(racks) ? 2 : 0) + (table.hasOtherHost(hosts) ? 0 : 1);
  let best = 0;
  const isBest = (): boolean => {
    const server = passedOver[best];
    return server !== undefined && penalty(server) <= smallest;
  };
  const consider = (index: number): void => {
    const [challenger, champion] = [passedOver[index], passedOver[best]] as ServerLocation[];
    if (penalty(challenger as ServerLocation) < penalty(champion as ServerLocation)) best = index;
  };
  for (let index = 1; index < passedOver.length; index += 1) consider(index);
  while (!isBest() && passedOver.length < DRAWS_MAX) {
    const drawn = draws.next();
    if (drawn.done === true) break;
    const { location } = drawn.value;
    if (keptIds.has(location.serverId) || !canStore(request, drawn.value)) continue;
    passedOver.push(location);
    consider(passedOver.length - 1);
  }
  const [server] = passedOver.splice(best, 1);
  return server ?? null;
}

function canStore({ requires, isEligible }: PlacementRequest, candidate: Candidate): boolean {
  if (missingCapabilities(requires, candidate.capabilities).length > 0) return false;
  return isEligible(candidate);
}

/** Moves new servers on the writer's host to the front of the new servers. */
function orderForWriter(
  chosen: readonly ServerLocation[],
  keptCount: number,
  clientHost: string,
): ServerLocation[] {
  const kept = chosen.slice(0, keptCount);
  const added = chosen.slice(keptCount);
  const isNear = (server: ServerLocation): boolean => server.host === clientHost;
  return [...kept, ...added.filter(isNear), ...added.filter((server) => !isNear(server))];
}
