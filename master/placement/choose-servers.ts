import { assert } from "../../shared/base/assert.ts";
import { DIGEST_BYTES, type ServerId } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";

/** A chunkserver that may take a chunk now: live, not full, not excluded. */
export interface Candidate {
  readonly location: ServerLocation;
  /** What it may still take. More space, more chunks: the weight of the rendezvous. */
  readonly availableBytes: number;
  /** Writes and copies under way there. */
  readonly activeWrites: number;
}

export interface PlacementRequest {
  readonly hasher: Hasher;
  /** Names the chunk-to-be: other key, other servers. */
  readonly key: Uint8Array;
  readonly candidates: readonly Candidate[];
  /** Servers wanted in all, with those of `keep`. */
  readonly count: number;
  /** Racks that the servers must span if there are so many. */
  readonly racksMin: number;
  /** Servers that are in the chain already: they stay first, in this order. */
  readonly keep: readonly ServerLocation[];
  /** Host of the writer: a server there goes to the front, which saves a hop. */
  readonly clientHost: string;
}

/**
 * The chain for one chunk: weighted rendezvous hashing (Thaler and Ravishankar 1998; the weights
 * as in Schindelhauer and Schomaker 2005) within the constraints of racks and hosts.
 *
 * Every server draws a number from (key, server id); the highest draws win. So chunks spread in
 * proportion to free space, each server shares chunks with every other, and a lost server's chunks
 * are rebuilt by all. Racks come before hosts, hosts before draws; where a constraint cannot be
 * met the chain is still as long as it can be: a copy in the same rack is better than no copy.
 *
 * @returns at most `count` servers; fewer if there are not so many.
 */
export function chooseServers(request: PlacementRequest): ServerLocation[] {
  const { keep, count, racksMin } = request;
  assert(count >= keep.length, "the chain has room for the servers that stay");
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
      // `remaining` is in the order of the draws, so only a smaller penalty beats an earlier one.
      const [challenger, champion] = [remaining[index], remaining[best]] as ServerLocation[];
      if (penalty(challenger as ServerLocation) < penalty(champion as ServerLocation)) best = index;
    }
    chosen.push(...remaining.splice(best, 1));
  }
  return orderForWriter(chosen, keep.length, request.clientHost);
}

/** Candidates that are not in the chain yet, the highest draw first. */
function rank(request: PlacementRequest): ServerLocation[] {
  const kept = new Set<ServerId>(request.keep.map((server) => server.serverId));
  return request.candidates
    .filter((candidate) => !kept.has(candidate.location.serverId))
    .map((candidate) => ({
      location: candidate.location,
      draw: draw(request.hasher, request.key, candidate),
    }))
    .sort(
      (left, right) =>
        right.draw - left.draw || (left.location.serverId < right.location.serverId ? -1 : 1),
    )
    .map((ranked) => ranked.location);
}

/** -weight / ln(u) with u in (0, 1) from the hash: highest wins with a chance in proportion to its weight. */
function draw(hasher: Hasher, key: Uint8Array, candidate: Candidate): number {
  const id = candidate.location.serverId;
  const material = new Uint8Array(key.length + id.length);
  material.set(key);
  for (let index = 0; index < id.length; index += 1) {
    material[key.length + index] = id.charCodeAt(index);
  }
  const digest = hasher.hash(material);
  assert(digest.length === DIGEST_BYTES, "a digest has 32 bytes");
  const view = new DataView(digest.buffer, digest.byteOffset, digest.length);
  // 52 bits, and a half so that it is never 0 or 1.
  const uniform =
    (view.getUint32(0, true) * 2 ** 20 + (view.getUint32(4, true) >>> 12) + 0.5) / 2 ** 52;
  // A busy server draws as if it had less space, so that a burst does not queue on one disk.
  const weight = Math.max(1, candidate.availableBytes) / (1 + candidate.activeWrites / 8);
  return -weight / Math.log(uniform);
}

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
