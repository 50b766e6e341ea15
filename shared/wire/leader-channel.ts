import { AshlarError, isAshlarError } from "../base/errors.ts";
import { nextDelayMs, type RetryPolicy } from "../flow/retry.ts";
import type { Clock } from "../ports/clock.ts";
import type { Random } from "../ports/random.ts";
import { memberStatus } from "../protocol/fleet-api.ts";
import type { CallMethod } from "../protocol/method.ts";
import type { ConnectionPool } from "./connection-pool.ts";
import {
  LeaderSearch,
  leaderHintOf,
  mastersHintOf,
  mayOtherMasterAnswer,
} from "./leader-search.ts";
import { LeaderStallDetector } from "./leader-stall-detector.ts";
import type { CallOptions, Connection, Received } from "./rpc.ts";

export interface LeaderCallOptions extends CallOptions {
  /** The call may be repeated although an earlier attempt may have had its effect (a session's sequence number). */
  readonly idempotent?: boolean;
}

/** A call that asks for several things, each of which is answered by itself. */
export interface PartialCall<Request, Response> {
  /** What is still wanted, for one attempt. */
  readonly request: () => Request;
  /** Takes what was answered. @returns why some of it has to be asked for again; null if nothing has. */
  readonly onResponse: (response: Response) => AshlarError | null;
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
  /** Some of the masters, "host:port" each: those of the config. The others are learnt. */
  readonly addresses: () => readonly string[];
  /**
   * Asks a master where all of them are: after a call, every `REFRESH_INTERVAL_MS`. The membership may
   * change while nothing fails.
   */
  readonly fetchMasters?: (connection: Connection, timeoutMs: number) => Promise<readonly string[]>;
  readonly onRetry?: (retry: Retry) => void;
  /** Patience with one master, for calls that may be repeated. Default 5 s. */
  readonly attemptTimeoutMs?: number;
  /** A leader that owes answers and gives none for so long is left once another one is named. Default 700 ms. */
  readonly leaderStallTimeoutMs?: number;
  /** Patience with a master that does not take the connection. Default 1 s. */
  readonly connectTimeoutMs?: number;
}

const ATTEMPT_TIMEOUT_MS = 5000;
const CONNECT_TIMEOUT_MS = 1000;
const LEADER_STALL_TIMEOUT_MS = 700;
/** An election takes about a second: a longer pause would only add to it. */
const ROUND_POLICY: RetryPolicy = { delayMsMin: 50, delayMsMax: 400 };
const REFRESH_INTERVAL_MS = 10_000;
const REFRESH_TIMEOUT_MS = 1_000;
const FORCED_REFRESH_TIMEOUT_MS = 5_000;

const NO_MASTER_HINT =
  "Name masters that run and still belong to the cluster: these may have been removed from it";

/** What a call has been through. */
interface CallAttempts {
  readonly method: string;
  readonly startMs: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly mayRepeat: boolean;
  readonly addresses: Set<string>;
  count: number;
  /** An attempt that may have had its effect. */
  uncertain: AshlarError | null;
  last: { readonly address: string; readonly error: AshlarError } | null;
}

/**
 * Calls the leader of the masters, finding it and following it.
 *
 * Retries within the deadline, with jittered delays, what the error's retry class allows: "safe"
 * always, "idempotent-only" only calls that say so. A failure names the last error, and all
 * addresses tried.
 */
export class LeaderChannel {
  readonly #options: LeaderChannelOptions;
  readonly #stallDetector: LeaderStallDetector;
  #leaderAddress: string | null = null;
  /** What masters have told of where they all are, the latest word. */
  #fetchedAddresses: readonly string[] = [];
  #refreshDueMs = Number.NEGATIVE_INFINITY;

  constructor(options: LeaderChannelOptions) {
    this.#options = options;
    this.#stallDetector = new LeaderStallDetector({
      clock: options.clock,
      afterMs: options.leaderStallTimeoutMs ?? LEADER_STALL_TIMEOUT_MS,
      suspect: (address) => this.#onLeaderStalled(address),
    });
  }

  /** Where the leader was last seen; null before. */
  get leaderAddress(): string | null {
    return this.#leaderAddress;
  }

  /** Where masters may be: those that were learnt first, since the config may name some that are gone. */
  get addresses(): readonly string[] {
    return [...new Set([...this.#fetchedAddresses, ...this.#options.addresses()])];
  }

  call<Request, Response>(
    method: CallMethod<Request, Response>,
    request: Request,
    options: LeaderCallOptions,
  ): Promise<Received<Response>> {
    return this.#callLeader(method.name, options, (connection, call) =>
      connection.call(method, request, call),
    );
  }

  /**
   * A call that may be repeated, until there is nothing left of `parts`: each attempt asks for what
   * those before have not settled.
   */
  callParts<Request, Response>(
    method: CallMethod<Request, Response>,
    { request, onResponse }: PartialCall<Request, Response>,
    options: CallOptions,
  ): Promise<void> {
    const idempotent = { ...options, idempotent: true };
    return this.#callLeader(method.name, idempotent, (connection, call) =>
      connection.call(method, request(), call).then((received) => {
        received.release();
        const error = onResponse(received.head);
        if (error !== null) throw error;
      }),
    );
  }

  #callLeader<Result>(
    method: string,
    options: LeaderCallOptions,
    ask: (connection: Connection, call: CallOptions) => Promise<Result>,
  ): Promise<Result> {
    const { attemptTimeoutMs = ATTEMPT_TIMEOUT_MS, clock, pool } = this.#options;
    const { idempotent = false, timeoutMs, ...rest } = options;
    const attempt = (address: string, connection: Connection, leftMs: number): Promise<Result> => {
      const patienceMs = idempotent ? Math.min(leftMs, attemptTimeoutMs) : leftMs;
      return this.#watchAnswer(address, ask(connection, { ...rest, timeoutMs: patienceMs }));
    };
    // Nearly always the leader is where it was: then there is no attempts to tell.
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

  /** A connection to the master that was last seen to lead, or to any: for streams and local reads. */
  connection(options: {
    readonly timeoutMs: number;
    readonly signal?: AbortSignal;
  }): Promise<Connection> {
    return this.#search("connect", options, (_, connection) => Promise.resolve(connection));
  }

  /** The masters have changed: asks where they are now, although that was asked lately. Never fails. */
  async refreshMasters(signal?: AbortSignal): Promise<void> {
    this.#refreshDueMs = Number.NEGATIVE_INFINITY;
    const timeoutMs = FORCED_REFRESH_TIMEOUT_MS;
    try {
      await this.connection({ timeoutMs, ...(signal === undefined ? {} : { signal }) });
    } catch (error) {
      if (!isAshlarError(error)) throw error; // Whoever calls next searches as ever.
    }
  }

  async #search<Result>(
    method: string,
    options: Pick<LeaderCallOptions, "timeoutMs" | "signal" | "idempotent">,
    attempt: (address: string, connection: Connection, leftMs: number) => Promise<Result>,
    first?: { readonly startMs: number; readonly address: string; readonly error: AshlarError },
  ): Promise<Result> {
    const attempts: CallAttempts = {
      method,
      startMs: first?.startMs ?? this.#options.clock.monotonicMs(),
      timeoutMs: options.timeoutMs,
      signal: options.signal,
      mayRepeat: options.idempotent ?? false,
      addresses: new Set(),
      count: 0,
      uncertain: null,
      last: null,
    };
    const search = new LeaderSearch(this.#leaderAddress, this.addresses);
    if (first !== undefined) {
      // It was asked already, unless another call has learned of another leader meanwhile.
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

  /** While `answer` is owed, the doubt about the master at `address` grows. */
  #watchAnswer<Result>(address: string, answer: Promise<Result>): Promise<Result> {
    this.#stallDetector.asked(address);
    return answer.then(
      (result) => {
        this.#stallDetector.heard(address);
        return result;
      },
      (error: unknown) => {
        this.#stallDetector.heard(address);
        throw error;
      },
    );
  }

  /** Asks the others. What is under way at a master that leads no longer goes to the one that does. */
  async #onLeaderStalled(address: string): Promise<void> {
    const { pool, connectTimeoutMs: timeoutMs = CONNECT_TIMEOUT_MS } = this.#options;
    const others = this.addresses.filter((other) => other !== address);
    const ask = async (other: string): Promise<string> => {
      const connection = await pool.get(other, { timeoutMs });
      const answer = await connection.call(memberStatus, {}, { timeoutMs });
      answer.release();
      const { leaderAddress } = answer.head;
      if (leaderAddress === null || leaderAddress === address) throw new Error("No other leader");
      return leaderAddress;
    };
    const leader = await Promise.any(others.map(ask)).catch(() => null);
    if (leader === null) return;
    if (this.#leaderAddress === address) this.#leaderAddress = leader;
    pool.disconnect(address);
  }

  /** The next address to try; between rounds after a pause. Throws when there is no time for it. */
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
        throw failure(attempts); // The caller gave up: that is what it says.
      }
      search.beginRound(this.#leaderAddress, this.addresses);
    }
  }

  #isRefreshDue(nowMs: number): boolean {
    return this.#options.fetchMasters !== undefined && nowMs >= this.#refreshDueMs;
  }

  /** Asks the master behind the connection where all of them are, if that was not asked lately. */
  async refreshMastersIfDue(connection: Connection): Promise<void> {
    const { clock, fetchMasters } = this.#options;
    const nowMs = clock.monotonicMs();
    if (fetchMasters === undefined || !this.#isRefreshDue(nowMs)) return;
    this.#refreshDueMs = nowMs + REFRESH_INTERVAL_MS;
    try {
      this.#setAddresses(await fetchMasters(connection, REFRESH_TIMEOUT_MS));
    } catch (error) {
      if (!isAshlarError(error)) throw error; // What the master could not say it says later.
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
    return pool
      .get(address, { timeoutMs, ...(signal === undefined ? {} : { signal }) })
      .catch((error: unknown) => {
        // Nothing was asked yet: the next master may be.
        if (!isAshlarError(error, "DEADLINE_EXCEEDED")) throw error;
        throw new AshlarError("UNAVAILABLE", error.message, { cause: error });
      });
  }

  /** Decides whether there is another attempt; throws if not. */
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
      if (!attempts.mayRepeat) throw failure(attempts);
    }
    if (attempts.signal?.aborted || this.#leftMs(attempts) <= 0) throw failure(attempts);
    if (mayOtherMasterAnswer(error)) this.#leaderAddress = leaderHintOf(error);
    search.onFailed(address, error);
  }

  #reportRetry({ method, last, count }: CallAttempts, delayMs: number): void {
    if (last !== null) this.#options.onRetry?.({ method, ...last, attempt: count, delayMs });
  }

  #leftMs({ startMs, timeoutMs }: CallAttempts): number {
    return timeoutMs - (this.#options.clock.monotonicMs() - startMs);
  }
}

/**
 * Why the call failed in the end. Its code is that of the attempt that may have had its effect, if
 * there is one: the caller must not take it for harmless because a later one was.
 */
function failure(attempts: CallAttempts): AshlarError {
  const { method, addresses, count, uncertain, last, signal } = attempts;
  if (last === null) {
    const code = signal?.aborted ? "CANCELLED" : "UNAVAILABLE";
    return new AshlarError(code, `Cannot complete ${method}: no master is known`);
  }
  const { error } = last;
  const hint = error.hint ?? (error.code === "UNAVAILABLE" ? NO_MASTER_HINT : undefined);
  const where = [...addresses].join(", ");
  const tries = count === 1 ? "1 attempt" : `${count} attempts`;
  const code = signal?.aborted ? "CANCELLED" : (uncertain ?? error).code;
  return new AshlarError(
    code,
    `Cannot complete ${method}, ${tries} at ${where}: ${error.message}`,
    {
      cause: error,
      ...(hint === undefined ? {} : { hint }),
      details: error.details,
    },
  );
}
