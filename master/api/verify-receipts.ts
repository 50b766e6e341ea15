import { AshlarError } from "../../shared/base/errors.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import { isReceiptFor } from "../../shared/protocol/intent.ts";
import type { CommittedChunk, Content, Operation } from "../../shared/protocol/namespace-api.ts";
import type { NamespaceOperation, VerifiedChunk, VerifiedContent } from "../namespace/command.ts";

/**
 * The operation as it goes into the log: receipts are checked here, by the leader, and only the
 * servers that gave a true one are named.
 *
 * @throws {AshlarError} INVALID_ARGUMENT for a receipt that no chunkserver of this cluster signed;
 *   details.operationIndex.
 */
export function verifyOperation(
  hasher: Hasher,
  chunkKey: Uint8Array,
  { operation, operationIndex }: { operation: Operation; operationIndex: number },
): NamespaceOperation {
  const verify = (chunk: CommittedChunk): VerifiedChunk => {
    const fault = receiptFault(hasher, chunkKey, chunk);
    if (fault === null) return verified(chunk);
    throw new AshlarError("INVALID_ARGUMENT", fault, { details: { operationIndex } });
  };
  if (operation.kind === "put") {
    return { ...operation, content: verifyContent(operation.content, verify) };
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

/** What is wrong with the chunk's receipts; null: nothing. */
function receiptFault(hasher: Hasher, chunkKey: Uint8Array, chunk: CommittedChunk): string | null {
  const { id, lengthBytes, intentIndex } = chunk;
  for (const { serverId, receipt } of chunk.receipts) {
    const sealed = { serverId, chunkId: id, lengthBytes, intentIndex };
    if (isReceiptFor(hasher, chunkKey, sealed, receipt)) continue;
    return `Cannot commit chunk ${id}: expected a receipt of chunkserver ${serverId} for ${lengthBytes} bytes under index ${intentIndex}: the signature does not fit`;
  }
  return null;
}

function verified({ id, lengthBytes, intentIndex, receipts }: CommittedChunk): VerifiedChunk {
  const replicas = [...new Set(receipts.map((receipt) => receipt.serverId))];
  return { id, lengthBytes, intentIndex, replicas };
}
