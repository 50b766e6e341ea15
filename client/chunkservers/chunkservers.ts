import type { ServerId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Random } from "../../shared/ports/random.ts";
import type { CallMethod, StreamMethod } from "../../shared/protocol/method.ts";
import type { ConnectionPool } from "../../shared/wire/connection-pool.ts";
import type { Received, Stream } from "../../shared/wire/rpc.ts";
import type { Deadline } from "../deadline.ts";
import { type Candidate, ServerHealth } from "./server-health.ts";

/**
 * Short, because another replica is usually reachable: a server that does not connect is skipped.
 */
const CONNECT_TIMEOUT_MS = 3_000;

/** Id and address ("host:port") of a chunkserver. */
export interface ServerAddress {
  readonly serverId: ServerId;
  readonly address: string;
}

/**
 * Connections to chunkservers, separate from those to the masters, and the health of each server.
 */
export class Chunkservers {
  readonly health = new ServerHealth();
  readonly #pool: ConnectionPool;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #hostName: string;

  constructor(options: {
    readonly pool: ConnectionPool;
    readonly clock: Clock;
    readonly random: Random;
    readonly hostName: string;
  }) {
    this.#pool = options.pool;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#hostName = options.hostName;
  }

  /**
   * Opens a stream. It ends at the latest when `signal`, a fork of `deadline`, aborts.
   *
   * @throws {AshlarError} UNAVAILABLE and other connection errors.
   */
  async open<Open, Up, Down>(
    server: ServerAddress,
    method: StreamMethod<Open, Up, Down>,
    request: Open,
    options: {
      readonly deadline: Deadline;
      readonly signal: AbortSignal;
      readonly timeoutMs: number;
    },
  ): Promise<Stream<Up, Down>> {
    const { deadline, signal, timeoutMs } = options;
    const connectMs = deadline.remainingMs(CONNECT_TIMEOUT_MS);
    const connection = await this.#pool.get(server.address, { timeoutMs: connectMs, signal });
    return connection.open(method, request, {
      timeoutMs: deadline.remainingMs(timeoutMs),
      signal,
    });
  }

  /**
   * Calls a chunkserver once. `body` must not change until the call settles.
   *
   * @throws {AshlarError} the error of the server or the connection
   */
  async call<Request, Response>(
    server: ServerAddress,
    method: CallMethod<Request, Response>,
    request: Request,
    options: {
      readonly deadline: Deadline;
      readonly timeoutMs: number;
      readonly body?: Uint8Array;
    },
  ): Promise<Response> {
    const { deadline, timeoutMs, body } = options;
    using fork = deadline.fork();
    const { signal } = fork;
    const connectMs = deadline.remainingMs(Math.min(timeoutMs, CONNECT_TIMEOUT_MS));
    const connection = await this.#pool.get(server.address, { timeoutMs: connectMs, signal });
    const received = await connection.call(method, request, {
      timeoutMs: deadline.remainingMs(timeoutMs),
      signal,
      ...(body === undefined ? {} : { body }),
    });
    received.release();
    return received.head;
  }

  /** The same as `call`, for a request of several operations: it ends with its own timeout. The caller releases the response. */
  request<Request, Response>(
    { address }: ServerAddress,
    method: CallMethod<Request, Response>,
    request: Request,
    timeoutMs: number,
  ): Promise<Received<Response>> {
    return this.#pool.call(address, method, request, { timeoutMs });
  }

  /** Penalizes a server after a failure. */
  recordFailure(serverId: ServerId): void {
    this.health.recordFailure(serverId, this.#clock.monotonicMs());
  }

  /** Returns the servers that failed recently. */
  penalizedServers(): ServerId[] {
    return this.health.penalizedServers(this.#clock.monotonicMs());
  }

  /** Returns `servers` sorted by preference, the best first. */
  orderByPreference<Server extends Candidate>(servers: readonly Server[]): Server[] {
    return this.health.orderByPreference(servers, {
      nowMs: this.#clock.monotonicMs(),
      hostName: this.#hostName,
      fraction: () => this.#random.fraction(),
    });
  }
}
