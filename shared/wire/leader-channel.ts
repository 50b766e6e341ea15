import { AshlarError } from "../base/errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Random } from "../ports/random.ts";
import type { CallMethod } from "../protocol/method.ts";
import type { ConnectionPool } from "./connection-pool.ts";
import type { CallOptions, Connection, Received } from "./rpc.ts";

export interface LeaderCallOptions extends CallOptions {
  /** The call may be repeated although an earlier attempt may have had its effect (a session's sequence number). */
  readonly idempotent?: boolean;
}

/** A failed attempt, before the next one. */
export interface Retry {
  readonly method: string;
  readonly address: string;
  readonly error: AshlarError;
  /** 1 for the first. */
  readonly attempt: number;
  readonly delayMs: number;
}

export interface LeaderChannelOptions {
  /** Owned by the caller. */
  readonly pool: ConnectionPool;
  readonly clock: Clock;
  readonly random: Random;
  /** The masters, "host:port" each; asked before every round, so that a membership change is seen. */
  readonly addresses: () => readonly string[];
  readonly onRetry?: (retry: Retry) => void;
}

/**
 * Calls the leader of the masters, finding it and following it.
 *
 * Retries within the deadline, with jittered delays, what the error's retry class allows: "safe"
 * always, "idempotent-only" only calls that say so. A failure names the last error, and all
 * addresses tried.
 */
export class LeaderChannel {
  constructor(options: LeaderChannelOptions) {}

  /** Where the leader was last seen; null before. */
  get leaderAddress(): string | null {
    return null;
  }

  call<Request, Response>(
    method: CallMethod<Request, Response>,
    request: Request,
    options: LeaderCallOptions,
  ): Promise<Received<Response>> {
    throw new AshlarError("UNSUPPORTED", "Cannot call: not written yet");
  }

  /** A connection to the master that was last seen to lead, or to any: for streams and local reads. */
  connection(options: {
    readonly timeoutMs: number;
    readonly signal?: AbortSignal;
  }): Promise<Connection> {
    throw new AshlarError("UNSUPPORTED", "Cannot connect: not written yet");
  }
}
