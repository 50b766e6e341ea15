import { assert } from "../../shared/base/assert.ts";
import type { ChunkId, ServerId } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import { type Candidate, chooseServers } from "./choose-servers.ts";

/** What the planner needs to know of a chunk. */
export interface UnderReplicatedChunk {
  readonly chunkId: ChunkId;
  readonly lengthBytes: number;
  readonly copiesWanted: number;
  /** Servers with a copy that counts and that answer now. */
  readonly liveHolders: readonly ServerLocation[];
  /** Servers that have or may still have a copy: no target. */
  readonly holders: ReadonlySet<ServerId>;
}

/** Copies of one chunk to be made, each pulled by its target. */
export interface RepairPlan {
  readonly chunkId: ChunkId;
  readonly lengthBytes: number;
  readonly targets: readonly ServerLocation[];
  readonly sources: readonly ServerLocation[];
}

/** How many copies a chunk lacks now; the fewer are left the sooner it is repaired. */
export function copiesMissing(chunk: UnderReplicatedChunk): number {
  return Math.max(0, chunk.copiesWanted - chunk.liveHolders.length);
}

/**
 * Where the missing copies of a chunk go. Null if nothing is missing, no copy is left to copy from,
 * or no server can take one.
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
  assert(targets.length <= missing, "no more copies than are missing");
  if (targets.length === 0) return null;
  const { chunkId, lengthBytes } = chunk;
  return { chunkId, lengthBytes, targets, sources: chunk.liveHolders };
}
