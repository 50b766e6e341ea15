import { type AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { SessionId } from "../../shared/base/ids.ts";
import {
  type Transacted,
  type TransactionRequest,
  transact,
} from "../../shared/protocol/transact-api.ts";
import type { Handlers } from "../../shared/wire/rpc.ts";
import { type MasterDeps, propose, requireFacts, requireLeader } from "./leader-context.ts";
import { verifyOperation } from "./verify-receipts.ts";

/** What the transactions of one call share. */
interface TransactionContext {
  readonly sessionId: SessionId;
  readonly firstUnacknowledged: number;
  readonly chunkKey: Uint8Array;
  readonly nowMs: number;
}

/** Serves `namespace.transact`: every transaction is an entry of its own, all proposed in one turn. */
export function registerTransact(handlers: Handlers, deps: MasterDeps): void {
  const { consensus, env } = deps;
  handlers.onCall(transact, async (request) => {
    request.release();
    requireLeader(consensus);
    const { sessionId, firstUnacknowledged, transactions } = request.head;
    const { chunkKey } = requireFacts(deps.namespace());
    deps.sessions.recordActivity(sessionId, env.clock.monotonicMs());
    const common = { sessionId, firstUnacknowledged, chunkKey, nowMs: deps.nowMs() };
    const outcomes = await Promise.all(
      transactions.map((transaction) => outcomeOf(deps, common, transaction)),
    );
    return { outcomes };
  });
}

/** What becomes of one. Its failure is its own, also where it may have had its effect. */
async function outcomeOf(
  deps: MasterDeps,
  common: TransactionContext,
  transaction: TransactionRequest,
): Promise<Transacted | AshlarError> {
  const { sessionId, firstUnacknowledged, chunkKey, nowMs } = common;
  const { sequence, preconditions } = transaction;
  try {
    const operations = transaction.operations.map((operation, operationIndex) =>
      verifyOperation(deps.env.hasher, chunkKey, { operation, operationIndex }),
    );
    const { index, results } = await propose(deps, {
      kind: "transact",
      nowMs,
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
