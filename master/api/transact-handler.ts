import { type AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { SessionId } from "../../shared/base/ids.ts";
import {
  type Transacted,
  type TransactionRequest,
  transact,
} from "../../shared/protocol/transact-api.ts";
import type { Handlers } from "../../shared/wire/rpc.ts";
import { type MasterParts, propose, requireFacts, requireLeader } from "./leader-context.ts";
import { verifyOperation } from "./verify-receipts.ts";

/** What the transactions of one call share. */
interface Common {
  readonly sessionId: SessionId;
  readonly firstUnacknowledged: number;
  readonly chunkKey: Uint8Array;
  readonly nowMs: number;
}

/** Serves `namespace.transact`: every transaction is an entry of its own, all proposed in one turn. */
export function registerTransact(handlers: Handlers, parts: MasterParts): void {
  const { consensus, env } = parts;
  handlers.onCall(transact, async (request) => {
    request.release();
    requireLeader(consensus);
    const { sessionId, firstUnacknowledged, transactions } = request.head;
    const { chunkKey } = requireFacts(parts.namespace());
    parts.sessions.recordActivity(sessionId, env.clock.monotonicMs());
    const common = { sessionId, firstUnacknowledged, chunkKey, nowMs: parts.nowMs() };
    const outcomes = await Promise.all(
      transactions.map((transaction) => outcomeOf(parts, common, transaction)),
    );
    return { outcomes };
  });
}

/** What becomes of one. Its failure is its own, also where it may have had its effect. */
async function outcomeOf(
  parts: MasterParts,
  common: Common,
  transaction: TransactionRequest,
): Promise<Transacted | AshlarError> {
  const { sessionId, firstUnacknowledged, chunkKey, nowMs } = common;
  const { sequence, preconditions } = transaction;
  try {
    const operations = transaction.operations.map((operation, operationIndex) =>
      verifyOperation(parts.env.hasher, chunkKey, { operation, operationIndex }),
    );
    const { index, results } = await propose(parts, {
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
