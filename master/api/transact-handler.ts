import { type AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { SessionId } from "../../shared/base/ids.ts";
import type { Operation } from "../../shared/protocol/namespace-api.ts";
import { checkOperationValues } from "../../shared/protocol/operation-values.ts";
import {
  type Transacted,
  type TransactionRequest,
  transact,
} from "../../shared/protocol/transact-api.ts";
import type { Handlers } from "../../shared/wire/rpc.ts";
import { chunkKeysOf } from "./chunk-keys.ts";
import { type MasterDeps, propose, requireLeader } from "./leader-context.ts";
import { type AcceptedIntents, verifyOperation } from "./verify-receipts.ts";

/** The values that all transactions of one call share. */
interface TransactionContext {
  readonly sessionId: SessionId;
  readonly firstUnacknowledged: number;
  readonly accepted: AcceptedIntents;
}

/**
 * Registers the handler of `namespace.transact`. Each transaction of a call is a separate entry.
 * All transactions of a call are proposed in one turn.
 */
export function registerTransact(handlers: Handlers, deps: MasterDeps): void {
  const { consensus, env } = deps;
  handlers.onCall(transact, async (request) => {
    request.release();
    requireLeader(consensus);
    const { sessionId, firstUnacknowledged, transactions } = request.head;
    const namespace = deps.namespace();
    const accepted = {
      chunkKeys: chunkKeysOf(namespace),
      intentFloor: namespace.intentFloor(),
    };
    if (deps.namespace().hasSession(sessionId)) {
      deps.sessions.recordActivity(sessionId, env.clock.monotonicMs());
    }
    const context = { sessionId, firstUnacknowledged, accepted };
    const outcomes = await Promise.all(
      transactions.map((transaction) => outcomeOf(deps, context, transaction)),
    );
    return { outcomes };
  });
}

/**
 * Proposes one transaction and returns its outcome. An error does not fail the other transactions
 * of the call. With COMMIT_UNKNOWN the transaction may have been committed.
 */
async function outcomeOf(
  deps: MasterDeps,
  context: TransactionContext,
  transaction: TransactionRequest,
): Promise<Transacted | AshlarError> {
  const { sessionId, firstUnacknowledged, accepted } = context;
  const { sequence, preconditions } = transaction;
  try {
    checkValues(transaction.operations);
    const operations = transaction.operations.map((operation, operationIndex) =>
      verifyOperation(deps.env.hasher, accepted, { operation, operationIndex }),
    );
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

/** @throws {AshlarError} INVALID_ARGUMENT, with `details.operationIndex` */
function checkValues(operations: readonly Operation[]): void {
  for (let operationIndex = 0; operationIndex < operations.length; operationIndex += 1) {
    checkOperationValues(operations[operationIndex] as Operation, { operationIndex });
  }
}
