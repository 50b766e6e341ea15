import { type AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { SessionId } from "../../shared/base/ids.ts";
import { checkOperationValues } from "../../shared/protocol/operation-values.ts";
import {
  type Transacted,
  type TransactionRequest,
  type TransactRequest,
  type TransactResponse,
  transact,
} from "../../shared/protocol/transact-api.ts";
import type { CallContext, Handlers } from "../../shared/wire/rpc.ts";
import type { NamespaceOperation } from "../namespace/command.ts";
import { chunkKeysOf } from "./chunk-keys.ts";
import { type MasterDeps, propose, requireLeader } from "./leader-context.ts";
import { PartWork } from "./part-work.ts";
import { TransactionAdmission } from "./transaction-admission.ts";
import { sizeOf } from "./transaction-size.ts";
import { type VerificationDeps, verifyOperation } from "./verify-receipts.ts";

/** Units of work of a part of a call. A receipt is a unit of about 3 µs. */
const UNITS_PER_PART = 1_000;
/** Units of a transaction without its operations. */
const TRANSACTION_UNITS = 5;

/** Approximate size from which a call waits while others are in progress. Smaller ones cost less than 1 ms. */
const LARGE_BYTES_MIN = 64 * 1024;
/** Bound of the large calls in progress. It keeps the leader busy, and is a quarter of `proposalBytesMax`. */
const ADMITTED_BYTES_MAX = 16 * 1024 * 1024;

/** The values that all transactions of one call share. */
interface TransactionContext {
  readonly sessionId: SessionId;
  readonly firstUnacknowledged: number;
}

/**
 * Registers the handler of `namespace.transact`. Each transaction of a call is a separate entry.
 * The transactions of a call are proposed in one turn, unless their work needs several. A large call waits
 * while ADMITTED_BYTES_MAX of large calls are in progress. Its verification begins after that wait.
 */
export function registerTransact(handlers: Handlers, deps: MasterDeps): void {
  const { consensus, env } = deps;
  const admission = new TransactionAdmission(ADMITTED_BYTES_MAX);
  handlers.onCall(transact, async (request, context) => {
    request.release();
    requireLeader(consensus);
    const { head } = request;
    if (deps.namespace().hasSession(head.sessionId)) {
      deps.sessions.recordActivity(head.sessionId, env.clock.monotonicMs());
    }
    const bytes = sizeOf(head.transactions);
    if (bytes < LARGE_BYTES_MIN) return await transactAll(deps, head, context);
    const release = await admission.admit(bytes, context);
    try {
      requireLeader(consensus);
      return await transactAll(deps, head, context);
    } finally {
      release();
    }
  });
}

/** Verifies and proposes the transactions of a call. Resolves with their outcomes. */
async function transactAll(
  deps: MasterDeps,
  { sessionId, firstUnacknowledged, transactions }: TransactRequest,
  context: CallContext,
): Promise<TransactResponse> {
  const namespace = deps.namespace();
  const accepted = {
    chunkKeys: chunkKeysOf(namespace),
    intentFloor: namespace.intentFloor(),
  };
  const verification = {
    hasher: deps.env.hasher,
    accepted,
    work: new PartWork(context, UNITS_PER_PART),
  };
  const outcomes: Promise<Transacted | AshlarError>[] = [];
  for (const transaction of transactions) {
    const verifying = verifiedOperations(verification, transaction);
    let verified = verifying.next();
    for (; verified.done !== true; verified = verifying.next()) {
      await verification.work.nextPart();
    }
    const change = { transaction, operations: verified.value };
    outcomes.push(outcomeOf(deps, { sessionId, firstUnacknowledged }, change));
  }
  return { outcomes: await Promise.all(outcomes) };
}

/**
 * Returns the operations of a transaction as the log stores them, or why they are refused. Yields before each new
 * part of the work.
 */
function* verifiedOperations(
  verification: VerificationDeps,
  { operations }: TransactionRequest,
): Generator<void, readonly NamespaceOperation[] | AshlarError, void> {
  const { work } = verification;
  const verified: NamespaceOperation[] = [];
  work.add(TRANSACTION_UNITS);
  try {
    for (const [operationIndex, operation] of operations.entries()) {
      if (work.add(1)) yield;
      checkOperationValues(operation, { operationIndex });
      verified.push(yield* verifyOperation(verification, { operation, operationIndex }));
    }
    return verified;
  } catch (error) {
    if (isAshlarError(error)) return error;
    throw error;
  }
}

/**
 * Proposes one transaction and returns its outcome. An error does not fail the other transactions
 * of the call. With COMMIT_UNKNOWN the transaction may have been committed.
 */
async function outcomeOf(
  deps: MasterDeps,
  { sessionId, firstUnacknowledged }: TransactionContext,
  change: {
    readonly transaction: TransactionRequest;
    readonly operations: readonly NamespaceOperation[] | AshlarError;
  },
): Promise<Transacted | AshlarError> {
  const { operations } = change;
  if (isAshlarError(operations)) return operations;
  const { sequence, preconditions } = change.transaction;
  try {
    const { index, results } = await propose(deps, {
      kind: "transact",
      attempt: { sessionId, sequence, firstUnacknowledged },
      preconditions,
      operations,
    });
    return { index, inodes: results.map((result) => result.inode) };
  } catch (error) {
    if (isAshlarError(error)) return error;
    throw error;
  }
}
