import { AshlarError } from "../../shared/base/errors.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import { isReceiptFor } from "../../shared/protocol/intent.ts";
import type { CommittedChunk, Content, Operation } from "../../shared/protocol/namespace-api.ts";
import type { NamespaceOperation, VerifiedChunk, VerifiedContent } from "../namespace/command.ts";

/**
 * The operation as it goes into the log: receipts are checked here, by the leader, and only the
 * servers that gave a true one are named.
 *
 * @throws {AshlarError} INVALID_ARGUMENT for a receipt that no chunkserver of this cluster signed.
 */
export function verifyOperation(
  hasher: Hasher,
  chunkKey: Uint8Array,
  operation: Operation,
): NamespaceOperation {
  if (operation.kind === "put") {
    return { ...operation, content: verifyContent(hasher, chunkKey, operation.content) };
  }
  if (operation.kind !== "commit-chunks") return operation;
  const changes = operation.changes.map((change) => ({
    ...change,
    chunk: verifyChunk(hasher, chunkKey, change.chunk),
  }));
  return { ...operation, changes };
}

function verifyContent(hasher: Hasher, chunkKey: Uint8Array, content: Content): VerifiedContent {
  if (content.kind === "inline") return content;
  const chunks = content.chunks.map((chunk) => verifyChunk(hasher, chunkKey, chunk));
  return { ...content, chunks };
}

function verifyChunk(hasher: Hasher, chunkKey: Uint8Array, chunk: CommittedChunk): VerifiedChunk {
  const { id, lengthBytes, intentIndex } = chunk;
  for (const { serverId, receipt } of chunk.receipts) {
    const sealed = { serverId, chunkId: id, lengthBytes, intentIndex };
    if (isReceiptFor(hasher, chunkKey, sealed, receipt)) continue;
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot commit chunk ${id}: expected a receipt of chunkserver ${serverId} for ${lengthBytes} bytes under index ${intentIndex}: the signature does not fit`,
    );
  }
  const replicas = [...new Set(chunk.receipts.map((receipt) => receipt.serverId))];
  return { id, lengthBytes, intentIndex, replicas };
}
