import type { AshlarError } from "../base/errors.ts";
import type { InodeId, LogIndex, SessionId } from "../base/ids.ts";
import { decodeResult, encodeResult } from "./error-codec.ts";
import { type CallMethod, parser, REQUEST_WORK_MAX } from "./method.ts";
import {
  type Operation,
  type Precondition,
  preconditionSchema,
  TRANSACTION_OPERATIONS_MAX,
} from "./namespace-api.ts";
import { decodeOperation, encodeOperation } from "./operation-codec.ts";
import { type Fields, fieldsOf, indexAt, inodeAt, integerAt, listAt } from "./positional.ts";
import { BY_CLIENTS } from "./roles.ts";
import { ID_MAX } from "./schemas.ts";

/** Largest number of transactions in one call. */
const TRANSACTIONS_MAX = 64;
/**
 * Number of outcomes that the masters keep for a session. A client has less than this many sequence numbers
 * above the lowest one in flight: otherwise it cannot request all outcomes again.
 */
export const SESSION_OUTCOMES_MAX = 1_024;
/** Longest encoded request. With its receipts it is longer than the log entries that it becomes. */
export const TRANSACT_BYTES_MAX = 32 * 1024 * 1024;

/** A transaction: applies all operations if all preconditions hold, else none. */
export interface TransactionRequest {
  /** From 1, a new number for every mutation of the session. A retry has the same number. */
  readonly sequence: number;
  readonly preconditions: readonly Precondition[];
  /** 1 to TRANSACTION_OPERATIONS_MAX. */
  readonly operations: readonly Operation[];
}

/** Request of `namespace.transact`. */
export interface TransactRequest {
  readonly sessionId: SessionId;
  /** The client will not retry mutations below this sequence. */
  readonly firstUnacknowledged: number;
  /** 1 to TRANSACTIONS_MAX. They are independent: a refused one does not affect the others. */
  readonly transactions: readonly TransactionRequest[];
}

/** The result of a transaction. */
export interface Transacted {
  /** Index of its log entry. Each transaction has a separate entry. */
  readonly index: LogIndex;
  /** The created or changed inode of each operation. Null if none remains (unlink, …). */
  readonly inodes: readonly (InodeId | null)[];
}

/** Response of `namespace.transact`. */
export interface TransactResponse {
  /** The result or the error of each transaction, in order. */
  readonly outcomes: readonly (Transacted | AshlarError)[];
}

/** Applies several transactions of one session, each exactly once even if the call is repeated. */
export const transact: CallMethod<TransactRequest, TransactResponse> = {
  kind: "call",
  name: "namespace.transact",
  callers: BY_CLIENTS,
  requestBytesMax: TRANSACT_BYTES_MAX,
  requestWorkMax: REQUEST_WORK_MAX,
  encodeRequest,
  parseRequest,
  encodeResponse,
  parseResponse,
};

const REQUEST = "namespace.transact request";
const RESPONSE = "namespace.transact response";
const parsePrecondition = parser("precondition", preconditionSchema);

function encodeRequest(request: TransactRequest): unknown {
  const { sessionId, firstUnacknowledged, transactions } = request;
  return [sessionId, firstUnacknowledged, transactions.map(encodeTransaction)];
}

function encodeTransaction(transaction: TransactionRequest): unknown {
  const { sequence, preconditions, operations } = transaction;
  return [sequence, preconditions, operations.map(encodeOperation)];
}

function parseRequest(value: unknown): TransactRequest {
  const fields = fieldsOf(value, REQUEST, 3);
  const bounds = { countMin: 1, countMax: TRANSACTIONS_MAX };
  return {
    sessionId: integerAt(fields, 0, REQUEST, 1, ID_MAX) as SessionId,
    firstUnacknowledged: integerAt(fields, 1, REQUEST),
    transactions: listAt(fields, 2, REQUEST, bounds).map(decodeTransaction),
  };
}

function decodeTransaction(value: unknown): TransactionRequest {
  const fields = fieldsOf(value, REQUEST, 3);
  const countMax = TRANSACTION_OPERATIONS_MAX;
  const preconditions = listAt(fields, 1, REQUEST, { countMin: 0, countMax });
  const operations = listAt(fields, 2, REQUEST, { countMin: 1, countMax });
  return {
    sequence: integerAt(fields, 0, REQUEST),
    preconditions: preconditions.map((each) => parsePrecondition(each)),
    operations: operations.map((each) => decodeOperation(each)),
  };
}

function encodeResponse({ outcomes }: TransactResponse): unknown {
  return outcomes.map((outcome) => encodeResult(outcome, encodeTransacted));
}

function encodeTransacted({ index, inodes }: Transacted): unknown {
  return [index, ...inodes];
}

function parseResponse(value: unknown): TransactResponse {
  const fields = fieldsOf(value, RESPONSE, 1);
  return { outcomes: fields.map((each) => decodeResult(each, RESPONSE, decodeTransacted)) };
}

function decodeTransacted(value: unknown): Transacted {
  const fields: Fields = fieldsOf(value, RESPONSE, 1);
  const inodes: (InodeId | null)[] = [];
  for (let at = 1; at < fields.length; at += 1) {
    inodes.push(fields[at] === null ? null : inodeAt(fields, at, RESPONSE));
  }
  return { index: indexAt(fields, 0, RESPONSE), inodes };
}
