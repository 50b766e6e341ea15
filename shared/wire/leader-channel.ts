import { AshlarError, isAshlarError } from "../base/errors.ts";
import { nextDelayMs, type RetryPolicy } from "../flow/retry.ts";
import type { Clock } from "../ports/clock.ts";
import type { Random } from "../ports/random.ts";
import { memberStatus } from "../protocol/fleet-api.ts";
import type { CallMethod } from "../protocol/method.ts";
import { type CallAttempts, failure, reasonOf } from "./call-attempts.ts";
import type { CallWatch } from "./call-watch.ts";
import type { ConnectionPool } from "./connection-pool.ts";
import {
  LeaderSearch,
  leaderHintOf,
  mastersHintOf,
  mayOtherMasterAnswer,
} from "./leader-search.ts";
import { LeaderStallDetector } from "./leader-stall-detector.ts";
import type { CallOptions, Connection, Received } from "./rpc.ts";

/** Options of a call to the leader. */
export interface LeaderCallOptions extends CallOptions {
  /**
   * Whether the call may be repeated after an attempt that may have taken effect: it only reads, or
   * a session's sequence number protects it. Default: false.
   */
  readonly idempotent?: boolean;
  /** Called after each attempt that may have taken effect. */
  readonly onUncertain?: (() => void) | undefined;
}

/** A call for several items, each of which the master answers separately. */
export interface PartialCall<Request, Response> {
  /** Returns the request for the items that are still missing. Called for every attempt. */
  readonly request: () => Request;
  /**
   * Handles a response. Returns why some items must be requested again, or null if all are done.
   */
  readonly onResponse: (response: Response) => AshlarError | null;
}

/** A failed attempt that will be followed by another one. */
export interface Retry {
  readonly method: string;
  readonly address: string;
  readonly error: AshlarError;
  /** Number of the failed attempt, from 1. */
  readonly attempt: number;
  /** Pause before the next attempt. */
  readonly delayMs: number;
}

/** Options of `LeaderChannel`. */
export interface LeaderChannelOptions {
  /** The caller owns and closes it. */
  readonly pool: ConnectionPool;
  readonly clock: Clock;
  readonly random: Random;
  /**
   * Returns the configured addresses ("host:port") of some masters. `fetchMasters` finds the
   * others.
   */
  readonly addresses: () => readonly string[];
  /**
   * Requests the addresses of all masters from a master. Called after a call, at most once per
   * REFRESH_INTERVAL_MS: the membership may change without a failed call.
   */
  readonly fetchMasters?: (connection: Connection, timeoutMs: number) => Promise<readonly string[]>;
  /** Time from the first answered call to the first request of `fetchMasters`. Default 0. */
  readonly firstFetchAfterMs?: number;
  readonly onRetry?: (retry: Retry) => void;
  /** Observes every call, and the retries. */
  readonly watch?: CallWatch | undefined;
  /**
   * Limit of one attempt of a call that may be repeated, for callers that prefer another master to a slow
   * one. Default: none, see `LeaderChannel`.
   */
  readonly attemptTimeoutMs?: number;
  /**
   * The other masters are queried for the leader when the known leader has sent no reply for this
   * long while requests are pending. Default 700 ms.
   */
  readonly leaderStallTimeoutMs?: number;
  /** Limit of an attempt to connect to a master. Default 1 s. */
  readonly connectTimeoutMs?: number;
}

const CONNECT_TIMEOUT_MS = 1000;
const LEADER_STALL_TIMEOUT_MS = 700;
/** An election takes about a second. Longer pauses would only delay the call further. */
const ROUND_POLICY: RetryPolicy = { delayMsMin: 50, delayMsMax: 400 };
const REFRESH_INTERVAL_MS = 10_000;
const REFRESH_TIMEOUT_MS = 1_000;
const FORCED_REFRESH_TIMEOUT_MS = 5_000;

/**
 * Calls the leader of the masters. Finds the leader, and finds it again after a change of leader.
 *
 * Retries a call until its deadline, with jittered delays, as the retry class of the error allows:
 * "safe" always, "idempotent-only" only for idempotent calls. The error of a failed call names the
 * last error and all addresses that were tried.
 *
 * An attempt has no limit of its own: a call can wait long at a busy leader, and each repetition would add
 * to its work. A leader answers all its calls when it loses the leadership. One that is silent ends them by
 * `KeepAlive`, or earlier by `LeaderStallDetector`.
 */
export class LeaderChannel {
  readonly #options: LeaderChannelOptions;
  readonly #stallDetector: LeaderStallDetector;
  #leaderAddress: string | null = null;
  /** The addresses of all masters, as last reported by a master. */
  #fetchedAddresses: readonly string[] = [];
  /** Null before the first answered call. */
  #refreshDueMs: number | null = null;

  constructor(options: LeaderChannelOptions) {
    this.#options = options;
    this.#stallDetector = new LeaderStallDetector({
      clock: options.clock,
      stallTimeoutMs: options.leaderStallTimeoutMs ?? LEADER_STALL_TIMEOUT_MS,
      onStalled: (address) => this.#onLeaderStalled(address),
    });
  }

  /** Address of the last known leader. Null before the first call. */
  get leaderAddress(): string | null {
    return this.#leaderAddress;
  }

  /**
   * Addresses of masters: the reported ones first, because configured ones may have been removed.
   */
  get addresses(): readonly string[] {
    return [...new Set([...this.#fetchedAddresses, ...this.#options.addresses()])];
  }

  /** Calls `method` at the leader. @throws {AshlarError} as described at the class */
  call<Request, Response>(
    method: CallMethod<Request, Response>,
    request: Request,
    options: LeaderCallOptions,
  ): Promise<Received<Response>> {
    return this.#watched(method.name, () =>
      this.#callLeader(method.name, options, (connection, call) =>
        connection.call(method, request, call),
      ),
    );
  }

  /**
   * Calls `method` at the leader until every item of the call is answered. Each attempt requests
   * the items that are still missing. The call must be idempotent.
   */
  callParts<Request, Response>(
    method: CallMethod<Request, Response>,
    { request, onResponse }: PartialCall<Request, Response>,
    options: Omit<LeaderCallOptions, "idempotent">,
  ): Promise<void> {
    const idempotent = { ...options, idempotent: true };
    return this.#watched(method.name, () =>
      this.#callLeader(method.name, idempotent, (connection, call) =>
        connection.call(method, request(), call).then((received) => {
          received.release();
          const error = onResponse(received.head);
          if (error !== null) throw error;
        }),
      ),
    );
  }

  /** Reports the begin and the end of a call to `CallWatch`. */
  #watched<Result>(method: string, call: () => Promise<Result>): Promise<Result> {
    const ended = this.#options.watch?.begin(method);
    if (ended === undefined) return call();
    return call().then(
      (result) => {
        ended(true);
        return result;
      },
      (error: unknown) => {
        ended(isAshlarError(error) && error.retry === "never" && error.code !== "CANCELLED");
        throw error;
      },
    );
  }

  #callLeader<Result>(
    method: string,
    options: LeaderCallOptions,
    ask: (connection: Connection, call: CallOptions) => Promise<Result>,
  ): Promise<Result> {
    const { attemptTimeoutMs = Number.POSITIVE_INFINITY, clock, pool } = this.#options;
    const { idempotent = false, timeoutMs, onUncertain: _, ...rest } = options;
    const attempt = (address: string, connection: Connection, leftMs: number): Promise<Result> => {
      const patienceMs = idempotent ? Math.min(leftMs, attemptTimeoutMs) : leftMs;
      return this.#watchAnswer(address, ask(connection, { ...rest, timeoutMs: patienceMs }));
    };
    // The common case: the leader has not changed. It needs no record of attempts.
    const address = this.#leaderAddress;
    const connection = address === null ? null : pool.openConnection(address);
    const startMs = clock.monotonicMs();
    if (address === null || connection === null || this.#isRefreshDue(startMs)) {
      return this.#search(method, options, attempt);
    }
    return attempt(address, connection, timeoutMs).catch((error: unknown) => {
      if (!isAshlarError(error)) throw error;
      return this.#search(method, options, attempt, { startMs, address, error });
    });
  }

  /**
   * Returns a connection to the last known leader, or to any master. For streams and local reads.
   */
  connection(options: {
    readonly timeoutMs: number;
    readonly signal?: AbortSignal;
  }): Promise<Connection> {
    return this.#watched("connect", () =>
      this.#search("connect", options, (_, connection) => Promise.resolve(connection)),
    );
  }

  /** Ends the work in the background. The pool, which the caller owns, ends the pending calls. */
  close(): void {
    this.#stallDetector.stop();
  }

  /** Fetches the addresses of the masters after a membership change. Does not throw. */
  async refreshMasters(signal?: AbortSignal): Promise<void> {
    this.#refreshDueMs = Number.NEGATIVE_INFINITY;
    const timeoutMs = FORCED_REFRESH_TIMEOUT_MS;
    try {
      await this.connection({ timeoutMs, ...(signal === undefined ? {} : { signal }) });
    } catch (error) {
      if (!isAshlarError(error)) throw error; // The next call searches for the leader.
    }
  }

  async #search<Result>(
    method: string,
    options: LeaderCallOptions,
    attempt: (address: string, connection: Connection, leftMs: number) => Promise<Result>,
    first?: { readonly startMs: number; readonly address: string; readonly error: AshlarError },
  ): Promise<Result> {
    const attempts: CallAttempts = {
      method,
      startMs: first?.startMs ?? this.#options.clock.monotonicMs(),
      timeoutMs: options.timeoutMs,
      signal: options.signal,
      mayRepeat: options.idempotent ?? false,
      onUncertain: options.onUncertain,
      addresses: new Set(),
      unreachable: new Map(),
      count: 0,
      uncertain: null,
      last: null,
    };
    const search = new LeaderSearch(this.#leaderAddress, this.addresses);
    if (first !== undefined) {
      // Skip the master that has just failed, unless another call has found a new leader meanwhile.
      if (this.#leaderAddress === first.address) search.next();
      attempts.count = 1;
      attempts.addresses.add(first.address);
      this.#onFailed(search, attempts, first);
    }
    for (;;) {
      const address = await this.#nextAddress(search, attempts);
      try {
        const connection = await this.#connect(address, attempts);
        const result = await attempt(address, connection, this.#leftMs(attempts));
        this.#leaderAddress = address;
        await this.refreshMastersIfDue(connection);
        return result;
      } catch (error) {
        if (!isAshlarError(error)) throw error;
        this.#onFailed(search, attempts, { address, error });
      }
    }
  }

  /** Registers a pending reply with the stall detector. */
  #watchAnswer<Result>(address: string, answer: Promise<Result>): Promise<Result> {
    this.#stallDetector.onRequest(address);
    return answer.then(
      (result) => {
        this.#stallDetector.onReply(address);
        return result;
      },
      (error: unknown) => {
        this.#stallDetector.onReply(address);
        throw error;
      },
    );
  }

  /**
   * Queries the other masters for the leader. If they return another leader, the connection to the
   * stalled master is closed, so that its pending calls are repeated at the new leader.
   */
  async #onLeaderStalled(address: string): Promise<void> {
    const { pool, connectTimeoutMs: timeoutMs = CONNECT_TIMEOUT_MS } = this.#options;
    const others = this.addresses.filter((other) => other !== address);
    const ask = async (other: string): Promise<string> => {
      const connection = await pool.get(other, { timeoutMs });
      const answer = await connection.call(memberStatus, {}, { timeoutMs });
      answer.release();
      const { leaderAddress } = answer.head;
      if (leaderAddress === null || leaderAddress === address)
        throw new Error("The leader has not changed");
      return leaderAddress;
    };
    const leader = await Promise.any(others.map(ask)).catch(() => null);
    if (leader === null) return;
    if (this.#leaderAddress === address) this.#leaderAddress = leader;
    pool.disconnect(address);
  }

  /**
   * Returns the next address, after a pause between rounds. Throws if the deadline is too close.
   */
  async #nextAddress(search: LeaderSearch, attempts: CallAttempts): Promise<string> {
    const { clock, random } = this.#options;
    for (let delayMs = 0; ; ) {
      const address = search.next();
      if (address !== null) {
        this.#reportRetry(attempts, delayMs);
        return address;
      }
      delayMs = nextDelayMs(search.roundCount + 1, ROUND_POLICY, random.fraction());
      if (delayMs >= this.#leftMs(attempts)) throw failure(attempts);
      try {
        await clock.sleep(delayMs, attempts.signal);
      } catch {
        throw failure(attempts); // The caller aborted: the error has the code CANCELLED.
      }
      search.beginRound(this.#leaderAddress, this.addresses);
    }
  }

  #isRefreshDue(nowMs: number): boolean {
    const { fetchMasters } = this.#options;
    return fetchMasters !== undefined && nowMs >= (this.#refreshDueMs ?? Number.POSITIVE_INFINITY);
  }

  /** Fetches the addresses of all masters through `connection`, if the last fetch is too old. */
  async refreshMastersIfDue(connection: Connection): Promise<void> {
    const { clock, fetchMasters, firstFetchAfterMs = 0 } = this.#options;
    const nowMs = clock.monotonicMs();
    this.#refreshDueMs ??= nowMs + firstFetchAfterMs;
    if (fetchMasters === undefined || !this.#isRefreshDue(nowMs)) return;
    this.#refreshDueMs = nowMs + REFRESH_INTERVAL_MS;
    try {
      this.#setAddresses(await fetchMasters(connection, REFRESH_TIMEOUT_MS));
    } catch (error) {
      if (!isAshlarError(error)) throw error; // The next fetch is due after the interval.
    }
  }

  #setAddresses(masters: readonly string[]): void {
    if (masters.length > 0) this.#fetchedAddresses = masters;
  }

  #connect(address: string, attempts: CallAttempts): Promise<Connection> {
    const { pool, connectTimeoutMs = CONNECT_TIMEOUT_MS } = this.#options;
    const { signal } = attempts;
    attempts.count += 1;
    attempts.addresses.add(address);
    const timeoutMs = Math.min(connectTimeoutMs, this.#leftMs(attempts));
    attempts.unreachable.delete(address);
    return pool
      .get(address, { timeoutMs, ...(signal === undefined ? {} : { signal }) })
      .catch((error: unknown) => {
        if (isAshlarError(error)) attempts.unreachable.set(address, reasonOf(address, error));
        // No request was sent yet: the call is safe to repeat at the next master.
        if (!isAshlarError(error, "DEADLINE_EXCEEDED")) throw error;
        throw new AshlarError("UNAVAILABLE", error.message, { cause: error });
      });
  }

  /** Records a failed attempt. Throws if there must not be another one. */
  #onFailed(
    search: LeaderSearch,
    attempts: CallAttempts,
    { address, error }: { readonly address: string; readonly error: AshlarError },
  ): void {
    attempts.last = { address, error };
    this.#setAddresses(mastersHintOf(error));
    if (error.retry === "never") throw error;
    if (error.retry === "idempotent-only") {
      attempts.uncertain = error;
      attempts.onUncertain?.();
      if (!attempts.mayRepeat) throw failure(attempts);
    }
    if (attempts.signal?.aborted || this.#leftMs(attempts) <= 0) throw failure(attempts);
    if (mayOtherMasterAnswer(error)) this.#leaderAddress = leaderHintOf(error);
    search.onFailed(address, error);
  }

  #reportRetry({ method, last, count }: CallAttempts, delayMs: number): void {
    if (last === null) return;
    this.#options.onRetry?.({ method, ...last, attempt: count, delayMs });
    this.#options.watch?.retried();
  }

  #leftMs({ startMs, timeoutMs }: CallAttempts): number {
    return timeoutMs - (this.#options.clock.monotonicMs() - startMs);
  }
}
