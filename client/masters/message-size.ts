import type { Content, Operation, Target } from "../../shared/protocol/namespace-api.ts";
import { targetsOf } from "../../shared/protocol/operation-targets.ts";
import type { TransactionRequest } from "../../shared/protocol/transact-api.ts";

/** Estimates of message sizes in bytes. They decide which items are combined into one call. */

const TARGET_BYTES = 16;
const OPERATION_BYTES = 64;
/** A chunk with the receipts of three replicas. */
const CHUNK_BYTES = 512;

/** Estimated size of a target in bytes. */
export function sizeOfTarget({ path }: Target): number {
  return TARGET_BYTES + (path === undefined ? 0 : path.length);
}

/** Estimated size of a transaction in bytes. */
export function sizeOfTransaction(transaction: TransactionRequest): number {
  const { preconditions, operations } = transaction;
  let bytes = preconditions.length * OPERATION_BYTES;
  for (const { target } of preconditions) bytes += sizeOfTarget(target);
  for (const operation of operations) bytes += sizeOfOperation(operation);
  return bytes;
}

function sizeOfOperation(operation: Operation): number {
  let bytes = OPERATION_BYTES;
  for (const target of targetsOf(operation)) bytes += sizeOfTarget(target);
  if (operation.kind === "put") bytes += sizeOfContent(operation.content);
  if (operation.kind === "commit-chunks") bytes += operation.changes.length * CHUNK_BYTES;
  if (operation.kind === "stage") bytes += operation.chunks.length * CHUNK_BYTES;
  return bytes;
}

function sizeOfContent(content: Content): number {
  return content.kind === "inline" ? content.bytes.length : content.chunks.length * CHUNK_BYTES;
}
