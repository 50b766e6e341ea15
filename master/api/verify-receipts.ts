import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import { type ChunkKeys, keyOfIndex } from "../../shared/protocol/chunk-keys.ts";
import { isReceiptFor } from "../../shared/protocol/intent.ts";
import type { CommittedChunk, Content, Operation } from "../../shared/protocol/namespace-api.ts";
import type { NamespaceOperation, VerifiedChunk, VerifiedContent } from "../namespace/command.ts";

/** The intents of which the state accepts commits, and their keys. */
export interface AcceptedIntents {
  readonly chunkKeys: ChunkKeys;
  readonly intentFloor: LogIndex;
}

/**
 * Verifies the receipts of an operation and returns the operation as the log stores it. The leader
 * verifies the signatures before the proposal, so the log contains only the ids of servers that
 * sealed the chunks.
 *
 * A version of the key is dropped when the state refuses every commit under its intents. Receipts of such
 * intents are not verified: the state refuses the commit, or answers a repeated transaction.
 *
 * @throws {AshlarError} INVALID_ARGUMENT, with `details.operationIndex`, if a receipt was not
 *   signed with the key of this cluster
 */
export function verifyOperation(
  hasher: Hasher,
  accepted: AcceptedIntents,
  { operation, operationIndex }: { operation: Operation; operationIndex: number },
): NamespaceOperation {
  const verify = (chunk: CommittedChunk): VerifiedChunk => {
    const fault = receiptFault(hasher, accepted, chunk);
    if (fault === null) return verified(chunk);
    throw new AshlarError("INVALID_ARGUMENT", fault, { details: { operationIndex } });
  };
  if (operation.kind === "put") {
    return { ...operation, content: verifyContent(operation.content, verify) };
  }
  if (operation.kind === "stage") {
    return { ...operation, chunks: operation.chunks.map(verify) };
  }
  if (operation.kind !== "commit-chunks") return operation;
  const changes = operation.changes.map((change) => ({ ...change, chunk: verify(change.chunk) }));
  return { ...operation, changes };
}

function verifyContent(
  content: Content,
  verify: (chunk: CommittedChunk) => VerifiedChunk,
): VerifiedContent {
  if (content.kind === "inline") return content;
  return { ...content, chunks: content.chunks.map(verify) };
}

/**
 * Returns the error message for the first invalid receipt of the chunk, or null if all are valid.
 */
function receiptFault(
  hasher: Hasher,
  { chunkKeys, intentFloor }: AcceptedIntents,
  chunk: CommittedChunk,
): string | null {
  const { id, lengthBytes, intentIndex } = chunk;
  const chunkKey = keyOfIndex(chunkKeys, intentIndex);
  if (chunkKey === null && intentIndex < intentFloor) return null;
  for (const { serverId, receipt } of chunk.receipts) {
    const sealed = { serverId, chunkId: id, lengthBytes, intentIndex };
    if (chunkKey !== null && isReceiptFor(hasher, chunkKey, sealed, receipt)) continue;
    return `Cannot commit chunk ${id}: expected a receipt of chunkserver ${serverId} for ${lengthBytes} bytes under index ${intentIndex}: the signature is invalid`;
  }
  return null;
}

/** Returns the chunk with the ids of its servers instead of their receipts. */
function verified({ id, lengthBytes, intentIndex, receipts }: CommittedChunk): VerifiedChunk {
  const replicas = [...new Set(receipts.map((receipt) => receipt.serverId))];
  return { id, lengthBytes, intentIndex, replicas };
}
