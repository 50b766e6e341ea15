import type { AshlarError } from "../base/errors.ts";
import type { InodeId, LogIndex, SessionId } from "../base/ids.ts";
import { decodeResult, encodeResult } from "./error-codec.ts";
import { type CallMethod, parser } from "./method.ts";
import {
  type Operation,
  type Precondition,
  preconditionSchema,
  TRANSACTION_OPERATIONS_MAX,
} from "./namespace-api.ts";
import { decodeOperation, encodeOperation } from "./operation-codec.ts";
import { type Fields, fieldsOf, indexAt, inodeAt, integerAt, listAt } from "./positional.ts";

/** Transactions of one call. */
const TRANSACTIONS_MAX = 64;

/** All of the operations or none, if all preconditions hold. */
export interface TransactionRequest {
  /** From 1, a new one for every mutation of the session; a retry repeats it. */
  readonly sequence: number;
  readonly preconditions: readonly Precondition[];
  /** 1 to TRANSACTION_OPERATIONS_MAX. */
  readonly operations: readonly Operation[];
}

export interface TransactRequest {
  readonly sessionId: SessionId;
  /** The client will never ask again for outcomes below this sequence. */
  readonly firstUnacknowledged: number;
  /** 1 to TRANSACTIONS_MAX, each of which stands alone: what is refused keeps none of the others. */
  readonly transactions: readonly TransactionRequest[];
}

/** What a transaction did. */
export interface Transacted {
  /** Its own entry's, which no other transaction shares. */
  readonly index: LogIndex;
  /** For each operation the inode that was made or changed; null where there is none left (unlink, …). */
  readonly inodes: readonly (InodeId | null)[];
}

export interface TransactResponse {
  /** One for each transaction. */
  readonly outcomes: readonly (Transacted | AshlarError)[];
}

/** Several transactions of one session, each with its effect once, however often it is asked for. */
export const transact: CallMethod<TransactRequest, TransactResponse> = {
  kind: "call",
  name: "namespace.transact",
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
    sessionId: integerAt(fields, 0, REQUEST, 1) as SessionId,
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
