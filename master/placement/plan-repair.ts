import { assert } from "../../shared/base/assert.ts";
import type { ChunkId, ServerId } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import { type Candidate, chooseServers } from "./choose-servers.ts";

/** A chunk with too few live copies. */
export interface UnderReplicatedChunk {
  readonly chunkId: ChunkId;
  readonly lengthBytes: number;
  readonly copiesWanted: number;
  /** Live servers with a valid copy. */
  readonly liveHolders: readonly ServerLocation[];
  /** Servers that have, or may still have, a copy. They cannot be targets. */
  readonly holders: ReadonlySet<ServerId>;
}

/** New copies of one chunk. Each target pulls the chunk from one of the sources. */
export interface RepairPlan {
  readonly chunkId: ChunkId;
  readonly lengthBytes: number;
  readonly targets: readonly ServerLocation[];
  readonly sources: readonly ServerLocation[];
}

/** Returns the number of missing copies. */
export function copiesMissing(chunk: UnderReplicatedChunk): number {
  return Math.max(0, chunk.copiesWanted - chunk.liveHolders.length);
}

/**
 * Chooses the servers for the missing copies of a chunk. Returns null if no copy is missing, if no
 * live copy exists as a source, or if no server can store a copy.
 */
export function planRepair(
  hasher: Hasher,
  chunk: UnderReplicatedChunk,
  candidates: readonly Candidate[],
  racksMin: number,
): RepairPlan | null {
  const missing = copiesMissing(chunk);
  if (missing === 0 || chunk.liveHolders.length === 0) return null;
  const eligible = candidates.filter(
    (candidate) =>
      !chunk.holders.has(candidate.location.serverId) &&
      candidate.availableBytes >= chunk.lengthBytes,
  );
  const chain = chooseServers({
    hasher,
    key: Uint8Array.from(chunk.chunkId, (digit) => digit.charCodeAt(0)),
    candidates: eligible,
    count: chunk.liveHolders.length + missing,
    racksMin,
    keep: chunk.liveHolders,
    clientHost: "",
  });
  const targets = chain.slice(chunk.liveHolders.length);
  assert(targets.length <= missing, "a plan makes at most the missing copies");
  if (targets.length === 0) return null;
  const { chunkId, lengthBytes } = chunk;
  return { chunkId, lengthBytes, targets, sources: chunk.liveHolders };
}
