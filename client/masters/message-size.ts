import type { Content, Operation, Target } from "../../shared/protocol/namespace-api.ts";
import type { TransactionRequest } from "../../shared/protocol/transact-api.ts";

/** What messages take, in bytes, nearly: for deciding what travels together. */

const TARGET_BYTES = 16;
const OPERATION_BYTES = 64;
/** With the receipts of three copies. */
const CHUNK_BYTES = 512;

export function sizeOfTarget({ path }: Target): number {
  return TARGET_BYTES + (path === undefined ? 0 : path.length);
}

export function sizeOfTransaction(transaction: TransactionRequest): number {
  const { preconditions, operations } = transaction;
  let bytes = preconditions.length * OPERATION_BYTES;
  for (const { target } of preconditions) bytes += sizeOfTarget(target);
  for (const operation of operations) bytes += sizeOfOperation(operation);
  return bytes;
}

function sizeOfOperation(operation: Operation): number {
  switch (operation.kind) {
    case "rename":
    case "copy":
    case "restore":
      return OPERATION_BYTES + sizeOfTarget(operation.from) + sizeOfTarget(operation.to);
    case "put":
      return OPERATION_BYTES + sizeOfTarget(operation.target) + sizeOfContent(operation.content);
    case "commit-chunks":
      return (
        OPERATION_BYTES + sizeOfTarget(operation.target) + operation.changes.length * CHUNK_BYTES
      );
    default:
      return OPERATION_BYTES + sizeOfTarget(operation.target);
  }
}

function sizeOfContent(content: Content): number {
  return content.kind === "inline" ? content.bytes.length : content.chunks.length * CHUNK_BYTES;
}
