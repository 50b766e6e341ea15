import type { SessionId } from "../../shared/base/ids.ts";
import type {
  Transacted,
  TransactionRequest,
  TransactRequest,
  TransactResponse,
} from "../../shared/protocol/transact-api.ts";
import type { CallBatcher } from "./call-batcher.ts";
import type { SequenceWindow } from "./sequence-window.ts";

/** Combines the transactions of a session into calls. */
export type TransactBatcher = CallBatcher<
  TransactionRequest,
  Transacted,
  TransactRequest,
  TransactResponse
>;

/**
 * A client session of the Raft group (Raft thesis §6.3). The masters apply each sequence number of
 * a session once, also if the mutation is sent several times.
 */
export interface RaftSession {
  readonly sessionId: SessionId;
  /** The masters end the session after this many ms without a mutation or keep-alive. */
  readonly idleMsMax: number;
  readonly sequences: SequenceWindow;
  /** Sends the transactions of the session. */
  readonly transactions: TransactBatcher;
  /** Monotonic time of the last mutation or keep-alive. */
  lastUsedMs: number;
}
