import { AshlarError } from "../base/errors.ts";
import type { ClusterId } from "../base/ids.ts";
import type { Random } from "../ports/random.ts";
import type { CallMethod } from "../protocol/method.ts";
import type { WireWorld } from "./connect.ts";
import type { WireLimits } from "./limits.ts";
import type { CallOptions, Connection, Identity, Received, Role } from "./rpc.ts";

export interface ConnectionPoolOptions {
  readonly identity: () => Identity;
  /** What every peer must be. */
  readonly role?: Role;
  /** For one attempt to connect. Default 5 s. */
  readonly connectTimeoutMs?: number;
  /** A connection with nothing under way for so long is closed. Default 60 s. */
  readonly idleMs?: number;
  readonly limits?: Partial<WireLimits>;
}

/**
 * One connection for each address, made when it is first asked for.
 *
 * After a failed attempt, further ones to that address fail at once with its error until a short
 * jittered delay is over (50 ms, doubling to 1 s): callers choose another peer or wait themselves.
 * All peers must be of one cluster: the one of `identity`, or else the first peer's.
 */
export class ConnectionPool implements AsyncDisposable {
  constructor(world: WireWorld & { readonly random: Random }, options: ConnectionPoolOptions) {}

  /** The cluster that all peers belong to; null until one was met. */
  get clusterId(): ClusterId | null {
    return null;
  }

  /**
   * The open connection to `address`, or a new one. Not to be closed by the caller.
   *
   * @throws {AshlarError} see `connect`; also DEADLINE_EXCEEDED
   */
  get(
    address: string,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<Connection> {
    throw new AshlarError("UNSUPPORTED", "Cannot connect: not written yet");
  }

  /** `get` and one call, within one deadline. */
  call<Request, Response>(
    address: string,
    method: CallMethod<Request, Response>,
    request: Request,
    options: CallOptions,
  ): Promise<Received<Response>> {
    throw new AshlarError("UNSUPPORTED", "Cannot call: not written yet");
  }

  /** Closes all connections, each with the grace of `Connection.close`. */
  close(graceMs: number): Promise<void> {
    throw new AshlarError("UNSUPPORTED", "Cannot close: not written yet");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close(1000);
  }
}
