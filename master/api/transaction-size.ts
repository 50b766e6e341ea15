import type { Operation } from "../../shared/protocol/namespace-api.ts";
import { targetsOf } from "../../shared/protocol/operation-targets.ts";
import type { TransactionRequest } from "../../shared/protocol/transact-api.ts";
import { chunksOf } from "./verify-receipts.ts";

/** Size of an operation or a precondition without the parts of variable length. */
const OPERATION_BYTES = 64;
/** Size of a chunk, or of a receipt. */
const CHUNK_BYTES = 64;

/** Returns the approximate size of transactions in the log in bytes, with their receipts. */
export function sizeOf(transactions: readonly TransactionRequest[]): number {
  let bytes = 0;
  for (const { operations, preconditions } of transactions) {
    for (const { target } of preconditions) bytes += OPERATION_BYTES + (target.path?.length ?? 0);
    for (const operation of operations) bytes += operationBytes(operation);
  }
  return bytes;
}

function operationBytes(operation: Operation): number {
  let bytes = OPERATION_BYTES;
  for (const { path } of targetsOf(operation)) bytes += path?.length ?? 0;
  if ("storageClass" in operation) bytes += operation.storageClass?.length ?? 0;
  if ("content" in operation && operation.content.kind === "inline") {
    bytes += operation.content.bytes.length;
  }
  for (const { receipts } of chunksOf(operation)) bytes += CHUNK_BYTES * (1 + receipts.length);
  return bytes;
}
