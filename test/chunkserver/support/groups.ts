import { VerifiedGroup } from "../../../chunkserver/store/put-many.ts";
import { concatBytes } from "../../../shared/base/bytes.ts";
import { type PutSmallResponse, putSmall } from "../../../shared/protocol/chunk-api.ts";
import type { Intent } from "../../../shared/protocol/intent.ts";
import type { Connection } from "../../../shared/wire/rpc.ts";
import { hasher, type TestChunk } from "./chunks.ts";

/** Returns the heads of chunks, as `chunk.put-small` names them. */
export function smallChunks(chunks: readonly TestChunk[]) {
  return chunks.map(({ chunkId, bytes, hashes }) => {
    return { chunkId, lengthBytes: bytes.length, hashes };
  });
}

/** Returns the bytes of chunks, one after another. */
export function bodyOf(chunks: readonly TestChunk[]): Uint8Array {
  return concatBytes(chunks.map(({ bytes }) => bytes));
}

export function groupOf(chunks: readonly TestChunk[]): VerifiedGroup {
  return VerifiedGroup.verify(hasher, smallChunks(chunks), bodyOf(chunks));
}

/** Sends a group to a server at `position` of the chain. */
export async function sendGroup(
  connection: Connection,
  chunks: readonly TestChunk[],
  options: {
    readonly intent: Intent;
    readonly position?: number;
    readonly body?: Uint8Array;
    readonly timeoutMs?: number;
  },
): Promise<PutSmallResponse> {
  const { intent, position = 0, body = bodyOf(chunks), timeoutMs = 30_000 } = options;
  const request = { intent, position, chunks: smallChunks(chunks) };
  const answer = await connection.call(putSmall, request, { timeoutMs, body });
  answer.release();
  return answer.head;
}
