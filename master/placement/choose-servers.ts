import { assert } from "../../shared/base/assert.ts";
import { DIGEST_BYTES, type ServerId } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";

/** A chunkserver that can store a new chunk: live, not full, not excluded. */
export interface Candidate {
  readonly location: ServerLocation;
  /** Available space: the weight of the server in the rendezvous hashing. */
  readonly availableBytes: number;
  /** Writes and copies in progress on the server. */
  readonly activeWrites: number;
}

/** Input of `chooseServers`. */
export interface PlacementRequest {
  readonly hasher: Hasher;
  /** Key of the new chunk: different keys select different servers. */
  readonly key: Uint8Array;
  readonly candidates: readonly Candidate[];
  /** Length of the chain, including the servers of `keep`. */
  readonly count: number;
  /** Number of racks that the chain must span, if that many exist. */
  readonly racksMin: number;
  /** Servers that are in the chain already. They stay first, in this order. */
  readonly keep: readonly ServerLocation[];
  /** Host of the writer. A new server on this host is placed first, which saves a network hop. */
  readonly clientHost: string;
}

/**
 * Chooses the write chain of one chunk by weighted rendezvous hashing (Thaler and Ravishankar 1998;
 * weights as in Schindelhauer and Schomaker 2005), under the constraints of racks and hosts.
 *
 * Each server gets a score from (key, server id), and the highest scores win. Therefore chunks are
 * spread in proportion to free space, each server shares chunks with every other server, and all
 * servers take part in the repair of a lost server. Racks have priority over hosts, hosts over
 * scores. If a constraint cannot be met, the chain still has its full length: a copy in the same
 * rack is better than no copy.
 *
 * @returns `count` servers, or fewer if there are not enough.
 */
export function chooseServers(request: PlacementRequest): ServerLocation[] {
  const { keep, count, racksMin } = request;
  assert(count >= keep.length, "the chain has room for the kept servers");
  const chosen = [...keep];
  const remaining = rank(request);
  while (chosen.length < count && remaining.length > 0) {
    const racks = new Set(chosen.map((server) => server.rack));
    const hosts = new Set(chosen.map((server) => server.host));
    const wantsRack = racks.size < racksMin;
    const penalty = (server: ServerLocation): number =>
      (wantsRack && racks.has(server.rack) ? 2 : 0) + (hosts.has(server.host) ? 1 : 0);
    let best = 0;
    for (let index = 1; index < remaining.length; index += 1) {
      // `remaining` is sorted by score, so only a smaller penalty beats an earlier server.
      const [challenger, champion] = [remaining[index], remaining[best]] as ServerLocation[];
      if (penalty(challenger as ServerLocation) < penalty(champion as ServerLocation)) best = index;
    }
    chosen.push(...remaining.splice(best, 1));
  }
  return orderForWriter(chosen, keep.length, request.clientHost);
}

/** Returns the candidates that are not in the chain yet, by descending score. */
function rank(request: PlacementRequest): ServerLocation[] {
  const kept = new Set<ServerId>(request.keep.map((server) => server.serverId));
  return request.candidates
    .filter((candidate) => !kept.has(candidate.location.serverId))
    .map((candidate) => ({
      location: candidate.location,
      score: scoreOf(request.hasher, request.key, candidate),
    }))
    .sort(
      (left, right) =>
        right.score - left.score || (left.location.serverId < right.location.serverId ? -1 : 1),
    )
    .map((ranked) => ranked.location);
}

/**
 * Returns -weight / ln(u), with u in (0, 1) from the hash. The probability of the highest score is
 * proportional to the weight.
 */
function scoreOf(hasher: Hasher, key: Uint8Array, candidate: Candidate): number {
  const id = candidate.location.serverId;
  const material = new Uint8Array(key.length + id.length);
  material.set(key);
  for (let index = 0; index < id.length; index += 1) {
    material[key.length + index] = id.charCodeAt(index);
  }
  const digest = hasher.hash(material);
  assert(digest.length === DIGEST_BYTES, "a digest has 32 bytes");
  const view = new DataView(digest.buffer, digest.byteOffset, digest.length);
  // 52 bits of the hash, plus one half, so that u is never 0 or 1.
  const uniform =
    (view.getUint32(0, true) * 2 ** 20 + (view.getUint32(4, true) >>> 12) + 0.5) / 2 ** 52;
  // Active writes reduce the weight of a server, so that a burst is not queued on one disk.
  const weight = Math.max(1, candidate.availableBytes) / (1 + candidate.activeWrites / 8);
  return -weight / Math.log(uniform);
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
