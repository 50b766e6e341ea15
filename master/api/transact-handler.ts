import { type AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { SessionId } from "../../shared/base/ids.ts";
import { checkOperationValues } from "../../shared/protocol/operation-values.ts";
import {
  type Transacted,
  type TransactionRequest,
  transact,
} from "../../shared/protocol/transact-api.ts";
import type { Handlers } from "../../shared/wire/rpc.ts";
import type { NamespaceOperation } from "../namespace/command.ts";
import { chunkKeysOf } from "./chunk-keys.ts";
import { type MasterDeps, propose, requireLeader } from "./leader-context.ts";
import { PartWork } from "./part-work.ts";
import { type VerificationDeps, verifyOperation } from "./verify-receipts.ts";

/** Units of work of a part of a call. A receipt is a unit of about 3 µs. */
const UNITS_PER_PART = 1_000;
/** Units of a transaction without its operations. */
const TRANSACTION_UNITS = 5;

/** The values that all transactions of one call share. */
interface TransactionContext {
  readonly sessionId: SessionId;
  readonly firstUnacknowledged: number;
}

/**
 * Registers the handler of `namespace.transact`. Each transaction of a call is a separate entry.
 * The transactions of a call are proposed in one turn, unless their work needs several.
 */
export function registerTransact(handlers: Handlers, deps: MasterDeps): void {
  const { consensus, env } = deps;
  handlers.onCall(transact, async (request, context) => {
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
    const { hasher } = env;
    const verification = { hasher, accepted, work: new PartWork(context, UNITS_PER_PART) };
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
  });
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
