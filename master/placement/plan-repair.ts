import type { ChunkId, ServerId } from "../../shared/base/ids.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";

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

/** Returns the number of missing copies. */
export function copiesMissing(chunk: UnderReplicatedChunk): number {
  return Math.max(0, chunk.copiesWanted - chunk.liveHolders.length);
}
