import { AshlarError, isAshlarError } from "../base/errors.ts";
import type { ClusterId } from "../base/ids.ts";
import { nextDelayMs, type RetryPolicy } from "../flow/retry.ts";
import type { Timer } from "../ports/clock.ts";
import type { Random } from "../ports/random.ts";
import type { CallMethod } from "../protocol/method.ts";
import type { Role } from "../protocol/roles.ts";
import type { ClientConnection } from "./client-connection.ts";
import { connect, type WireDeps } from "./connect.ts";
import { checkPeer } from "./handshake.ts";
import type { WireLimits } from "./limits.ts";
import type { CallOptions, Connection, PeerIdentity, Received } from "./rpc.ts";
import { withTimeout } from "./with-timeout.ts";

/** Options of `ConnectionPool`. */
export interface ConnectionPoolOptions {
  /** Identity of this end. Called for every handshake. */
  readonly identity: () => PeerIdentity;
  /** Required role of every peer. Default: any. */
  readonly role?: Role;
  /** Limit of one attempt to connect. Default 5 s. */
  readonly connectTimeoutMs?: number;
  /** A connection without a call or a stream for this long is closed. Default 60 s. */
  readonly idleMs?: number;
  readonly limits?: Partial<WireLimits>;
}

const CONNECT_TIMEOUT_MS = 5000;
const IDLE_MS = 60_000;
const RECONNECT_POLICY: RetryPolicy = { delayMsMin: 50, delayMsMax: 1000 };

/** State of one address. */
interface PooledAddress {
  readonly address: string;
  connection: ClientConnection | null;
  /** The attempt in progress. */
  attempt: Promise<ClientConnection> | null;
  /** Error of the last attempt. New attempts fail with it until `untilMs`. */
  failure: { readonly error: unknown; readonly untilMs: number } | null;
  /** Consecutive failed attempts. */
  failureCount: number;
  /** Monotonic time of the last use. */
  usedMs: number;
}

/**
 * Keeps one connection per address, opened at its first use.
 *
 * After a failed attempt, attempts to that address fail immediately with the same error, until
 * a short jittered delay has passed (50 ms, doubling to 1 s): callers choose another peer or wait.
 * All peers must belong to one cluster: the cluster of `identity`, or else of the first peer.
 */
export class ConnectionPool implements AsyncDisposable {
  readonly #deps: WireDeps & { readonly random: Random };
  readonly #options: ConnectionPoolOptions;
  readonly #targets = new Map<string, PooledAddress>();
  readonly #abort = new AbortController();
  #learnedClusterId: ClusterId | null = null;
  #sweep: Timer | null = null;

  constructor(deps: WireDeps & { readonly random: Random }, options: ConnectionPoolOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** The cluster of all peers. Null until the first peer has named its cluster. */
  get clusterId(): ClusterId | null {
    return this.#options.identity().clusterId ?? this.#learnedClusterId;
  }

  /**
   * Returns the open connection to `address`, or opens one. The caller must not close it, and calls
   * `get` before every use: the pool closes idle connections.
   *
   * @throws {AshlarError} see `connect`; also DEADLINE_EXCEEDED
   */
  get(
    address: string,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<Connection> {
    const { clock } = this.#deps;
    const target = this.#target(address);
    target.usedMs = clock.monotonicMs();
    if (target.connection?.isOpen) return Promise.resolve(target.connection);
    if (this.#abort.signal.aborted) {
      const text = `Cannot connect to ${address}: this end is closing`;
      return Promise.reject(new AshlarError("UNAVAILABLE", text));
    }
    const { failure } = target;
    if (target.attempt === null && failure !== null && clock.monotonicMs() < failure.untilMs) {
      return Promise.reject(failure.error);
    }
    target.attempt ??= this.#connect(target);
    const { timeoutMs, signal } = options;
    return withTimeout(target.attempt, {
      clock,
      timeoutMs,
      signal,
      what: `Connecting to ${address}`,
    });
  }

  /** Returns the connection to `address` if it is open, else null. */
  openConnection(address: string): Connection | null {
    const target = this.#targets.get(address);
    if (target?.connection?.isOpen !== true) return null;
    target.usedMs = this.#deps.clock.monotonicMs();
    return target.connection;
  }

  /** Closes the connection to `address` immediately. Its calls and streams fail. */
  disconnect(address: string): void {
    const connection = this.#targets.get(address)?.connection;
    connection?.close(0).catch(() => {}); // A close does not fail.
  }

  /** Calls `method` at `address`. The timeout covers the connection and the call. */
  async call<Request, Response>(
    address: string,
    method: CallMethod<Request, Response>,
    request: Request,
    options: CallOptions,
  ): Promise<Received<Response>> {
    const { clock } = this.#deps;
    const startMs = clock.monotonicMs();
    const connection = await this.get(address, options);
    const timeoutMs = options.timeoutMs - (clock.monotonicMs() - startMs);
    return await connection.call(method, request, { ...options, timeoutMs });
  }

  /** Closes all connections, as `Connection.close` with `graceMs`. */
  async close(graceMs: number): Promise<void> {
    this.#abort.abort(new AshlarError("UNAVAILABLE", "This end is closing"));
    this.#sweep?.cancel();
    const targets = [...this.#targets.values()];
    await Promise.allSettled(targets.map(({ attempt }) => attempt));
    await Promise.all(targets.map(({ connection }) => connection?.close(graceMs)));
    this.#targets.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close(1000);
  }

  #target(address: string): PooledAddress {
    const known = this.#targets.get(address);
    if (known !== undefined) return known;
    const target: PooledAddress = {
      address,
      connection: null,
      attempt: null,
      failure: null,
      failureCount: 0,
      usedMs: 0,
    };
    this.#targets.set(address, target);
    this.#sweep ??= this.#scheduleSweep();
    return target;
  }

  async #connect(target: PooledAddress): Promise<ClientConnection> {
    const { clock, random } = this.#deps;
    const { connectTimeoutMs = CONNECT_TIMEOUT_MS } = this.#options;
    try {
      const connection = await this.#performHandshake(target.address, connectTimeoutMs);
      target.connection = connection;
      target.failure = null;
      target.failureCount = 0;
      connection.closed.then(
        () => {
          if (target.connection === connection) target.connection = null;
        },
        () => {},
      );
      return connection;
    } catch (error) {
      target.failureCount += 1;
      const delayMs = nextDelayMs(target.failureCount, RECONNECT_POLICY, random.fraction());
      target.failure = { error, untilMs: clock.monotonicMs() + delayMs };
      throw error;
    } finally {
      target.attempt = null;
    }
  }

  async #performHandshake(address: string, timeoutMs: number): Promise<ClientConnection> {
    const { identity, role, limits } = this.#options;
    const expect = { ...(role === undefined ? {} : { role }), clusterId: this.clusterId };
    const connection = await connect(this.#deps, address, {
      identity: identity(),
      expect,
      timeoutMs,
      signal: this.#abort.signal,
      ...(limits === undefined ? {} : { limits }),
    });
    try {
      // Another peer may have named its cluster in the meantime.
      checkPeer(connection.peer, { clusterId: this.clusterId }, address);
    } catch (error) {
      await connection.close(0);
      throw error;
    }
    this.#learnedClusterId ??= connection.peer.clusterId;
    return connection;
  }

  #scheduleSweep(): Timer {
    const idleMs = this.#options.idleMs ?? IDLE_MS;
    return this.#deps.clock.after(idleMs / 2, () => {
      this.#sweep = null;
      this.#closeIdle(idleMs);
      if (this.#targets.size > 0) this.#sweep = this.#scheduleSweep();
    });
  }

  #closeIdle(idleMs: number): void {
    const nowMs = this.#deps.clock.monotonicMs();
    for (const target of this.#targets.values()) {
      if (target.attempt !== null || nowMs - target.usedMs < idleMs) continue;
      if (target.connection !== null && target.connection.inFlightCount > 0) continue;
      this.#targets.delete(target.address);
      target.connection?.close(0).catch((error: unknown) => {
        if (!isAshlarError(error)) throw error;
      });
    }
  }
}
