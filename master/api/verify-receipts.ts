import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import { type ChunkKeys, keyOfIndex } from "../../shared/protocol/chunk-keys.ts";
import { isReceiptFor } from "../../shared/protocol/intent.ts";
import type { CommittedChunk, Content, Operation } from "../../shared/protocol/namespace-api.ts";
import type { NamespaceOperation, VerifiedChunk, VerifiedContent } from "../namespace/command.ts";
import type { PartWork } from "./part-work.ts";

/** Dependencies of `verifyOperation`. */
export interface VerificationDeps {
  readonly hasher: Hasher;
  readonly accepted: AcceptedIntents;
  /** The work of the call. A receipt is a unit. */
  readonly work: PartWork;
}

/** The intents of which the state accepts commits, and their keys. */
export interface AcceptedIntents {
  readonly chunkKeys: ChunkKeys;
  readonly intentFloor: LogIndex;
}

/**
 * Verifies the receipts of an operation, and returns the operation as the log stores it. Yields before each new
 * part of the work: a generator, because most operations have no receipts and need no promise. The leader
 * verifies the signatures before the proposal, so the log contains only the ids of servers that
 * sealed the chunks.
 *
 * A version of the key is dropped when the state refuses every commit under its intents. Receipts of such
 * intents are not verified: the state refuses the commit, or answers a repeated transaction.
 *
 * @throws {AshlarError} INVALID_ARGUMENT, with `details.operationIndex`, if a receipt was not
 *   signed with the key of this cluster
 */
export function* verifyOperation(
  { hasher, accepted, work }: VerificationDeps,
  { operation, operationIndex }: { operation: Operation; operationIndex: number },
): Generator<void, NamespaceOperation, void> {
  for (const chunk of chunksOf(operation)) {
    if (work.add(1 + chunk.receipts.length)) yield;
    const fault = receiptFault(hasher, accepted, chunk);
    if (fault === null) continue;
    throw new AshlarError("INVALID_ARGUMENT", fault, { details: { operationIndex } });
  }
  return verifiedOperation(operation);
}

/** The chunks of an operation, with their receipts. */
export function chunksOf(operation: Operation): readonly CommittedChunk[] {
  switch (operation.kind) {
    case "put":
      return operation.content.kind === "inline" ? [] : operation.content.chunks;
    case "stage":
      return operation.chunks;
    case "commit-chunks":
      return operation.changes.map(({ chunk }) => chunk);
    default:
      return [];
  }
}

/** Returns an operation with the ids of the servers of its chunks instead of their receipts. */
function verifiedOperation(operation: Operation): NamespaceOperation {
  switch (operation.kind) {
    case "put":
      return { ...operation, content: verifiedContent(operation.content) };
    case "stage":
      return { ...operation, chunks: operation.chunks.map(verified) };
    case "commit-chunks": {
      const changes = operation.changes.map((change) => ({
        ...change,
        chunk: verified(change.chunk),
      }));
      return { ...operation, changes };
    }
    default:
      return operation;
  }
}

function verifiedContent(content: Content): VerifiedContent {
  if (content.kind === "inline") return content;
  return { ...content, chunks: content.chunks.map(verified) };
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
