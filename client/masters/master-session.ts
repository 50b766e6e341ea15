import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import type { Clock, Timer } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Attributes } from "../../shared/protocol/attributes.ts";
import type { CallMethod } from "../../shared/protocol/method.ts";
import {
  type Attempt,
  closeSession,
  keepSession,
  openSession,
  type ReadMode,
  type Target,
} from "../../shared/protocol/namespace-api.ts";
import { type StatRequest, type StatResponse, stat } from "../../shared/protocol/stat-api.ts";
import {
  type Transacted,
  type TransactionRequest,
  transact,
} from "../../shared/protocol/transact-api.ts";
import type { LeaderCallOptions, LeaderChannel } from "../../shared/wire/leader-channel.ts";
import type { Connection } from "../../shared/wire/rpc.ts";
import { causeOf, timeoutOf, untilAborted } from "../deadline.ts";
import type { CallOptions, ReadModeName } from "../options.ts";
import { CallBatcher } from "./call-batcher.ts";
import { sizeOfTarget, sizeOfTransaction } from "./message-size.ts";
import { withOlderMaster } from "./older-master.ts";
import { mayChangePlacement } from "./placement-changes.ts";
import type { RaftSession, TransactBatcher } from "./raft-session.ts";
import { SequenceWindow } from "./sequence-window.ts";

/** Sessions that one mutation tries before it fails. */
const REOPEN_MAX = 3;
const CLOSE_TIMEOUT_MS = 1_000;
/** Batchers kept for reads of attributes: one per read mode, and one per past state. */
const STAT_BATCHERS_MAX = 64;

type MutationOptions = CallOptions & Pick<LeaderCallOptions, "onUncertain">;
type ChangeOptions = MutationOptions & { readonly timeoutMs: number };
type StatBatcher = CallBatcher<Target, Attributes, StatRequest, StatResponse>;

/** A response about the namespace, with the log index of the state that it shows. */
interface Indexed {
  readonly index: LogIndex;
}

/** Dependencies and settings of a `MasterSession`. */
export interface MasterSessionOptions {
  readonly channel: Pick<LeaderChannel, "call" | "callParts" | "connection" | "refreshMasters">;
  /** Channel to any master, for reads that need no leader. */
  readonly anyMaster: Pick<LeaderChannel, "call" | "callParts">;
  readonly clock: Clock;
  readonly log: Log;
  readonly clientName: string;
  /** Default timeout of one call in milliseconds, with all its retries. */
  readonly timeoutMs: number;
  /** Default read mode. */
  readonly readMode: ReadModeName;
  /** Log index that the first session reads must at least show. */
  readonly seenIndex: LogIndex;
}

/**
 * Calls to the masters. Mutations have their effect exactly once (Raft thesis §6.3).
 *
 * The first mutation opens the client session. The session is kept alive until this object is
 * disposed.
 */
export class MasterSession implements AsyncDisposable {
  readonly #options: MasterSessionOptions;
  /** Batchers by read mode and index. */
  readonly #stats = new Map<string, StatBatcher>();
  #session: RaftSession | null = null;
  #opening: Promise<RaftSession> | null = null;
  /** Cancels a pending `openSession` call when this object is disposed. */
  readonly #closing = new AbortController();
  #keepAlive: Timer | null = null;
  #isClosed = false;
  #lastIndex: LogIndex;
  #placementChanges = 0;

  constructor(options: MasterSessionOptions) {
    this.#options = options;
    this.#lastIndex = options.seenIndex;
  }

  /** Default read mode. */
  get readMode(): ReadModeName {
    return this.#options.readMode;
  }

  /** Highest log index of all responses so far. Session reads show at least this index. */
  get lastIndex(): LogIndex {
    return this.#lastIndex;
  }

  /** Number of calls so far that can have changed the storage class of the directory at a path. */
  get placementChanges(): number {
    return this.#placementChanges;
  }

  /** Calls the leader. The call is idempotent: it is repeated after any failed attempt. */
  call<Request, Response>(
    method: CallMethod<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Response> {
    return this.#callThrough(this.#options.channel, method, request, options);
  }

  /** Reads from the namespace in the read mode of the call, or else of the connection. */
  async read<Request extends { readonly read: ReadMode }, Response extends Indexed>(
    method: CallMethod<Request, Response>,
    request: Omit<Request, "read">,
    options: CallOptions = {},
  ): Promise<Response> {
    const { channel, anyMaster, readMode } = this.#options;
    const read = this.#readModeOf(options.readMode ?? readMode);
    const readRequest = { ...request, read } as unknown as Request;
    const through = read.kind === "linearizable" ? channel : anyMaster;
    const response = await this.#callThrough(through, method, readRequest, options);
    this.#noteIndex(response);
    return response;
  }

  /**
   * Resolves with the attributes of a target, as of `index` if given. Calls of one turn of the
   * event loop are sent together.
   */
  async stat(
    target: Target,
    options: CallOptions & { readonly index?: LogIndex | undefined } = {},
  ): Promise<Attributes> {
    this.#checkOpen();
    const { readMode = this.#options.readMode, signal, index } = options;
    const timeoutMs = timeoutOf(options, this.#options.timeoutMs);
    return await this.#statBatcher(readMode, index).submit(target, { timeoutMs, signal });
  }

  #statBatcher(readMode: ReadModeName, index: LogIndex | undefined): StatBatcher {
    const key = index === undefined ? readMode : `${readMode} ${index}`;
    const known = this.#stats.get(key);
    if (known !== undefined) return known;
    const { kind } = this.#readModeOf(readMode);
    const { clock, channel, anyMaster } = this.#options;
    const batcher: StatBatcher = new CallBatcher({
      clock,
      channel: kind === "linearizable" ? channel : anyMaster,
      method: stat,
      requestOf: (targets) => {
        const read = this.#readModeOf(readMode);
        return index === undefined ? { read, targets } : { read, index, targets };
      },
      resultsOf: (response) => {
        this.#noteIndex(response);
        return response.results;
      },
      sizeOf: sizeOfTarget,
    });
    // A batcher removed from the map still sends the items that it has.
    if (this.#stats.size >= STAT_BATCHERS_MAX) this.#stats.clear();
    this.#stats.set(key, batcher);
    return batcher;
  }

  #readModeOf(name: ReadModeName): ReadMode {
    if (name === "session") return { kind: name, index: this.#lastIndex };
    if (name === "linearizable" || name === "stale") return { kind: name };
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot read in mode "${String(name)}": expected linearizable, session or stale`,
    );
  }

  #noteIndex({ index }: Indexed): void {
    if (index > this.#lastIndex) this.#lastIndex = index;
  }

  async #callThrough<Request, Response>(
    channel: Pick<LeaderChannel, "call">,
    method: CallMethod<Request, Response>,
    request: Request,
    options: MutationOptions,
  ): Promise<Response> {
    this.#checkOpen();
    const { timeoutMs } = this.#options;
    try {
      const received = await channel.call(method, request, leaderOptions(options, timeoutMs));
      received.release();
      return received.head;
    } catch (error) {
      throw withOlderMaster(causeOf(error, options.signal), method.name);
    }
  }

  /**
   * Returns a connection for streams: to the leader if it is known, else to another master. The
   * caller must not close the connection.
   */
  async connection(options: CallOptions = {}): Promise<Connection> {
    const { channel, timeoutMs } = this.#options;
    this.#checkOpen();
    try {
      return await channel.connection(leaderOptions(options, timeoutMs));
    } catch (error) {
      throw causeOf(error, options.signal);
    }
  }

  /** Refreshes the addresses of the masters after a membership change by this client. */
  refreshMasters({ signal }: CallOptions = {}): Promise<void> {
    return this.#options.channel.refreshMasters(signal);
  }

  /** Calls the leader. The call is not repeated after an attempt that may have been committed. */
  async callOnce<Request, Response>(
    method: CallMethod<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Response> {
    const { channel, timeoutMs } = this.#options;
    this.#checkOpen();
    try {
      const callOptions = { ...leaderOptions(options, timeoutMs), idempotent: false };
      const received = await channel.call(method, request, callOptions);
      received.release();
      return received.head;
    } catch (error) {
      throw withOlderMaster(causeOf(error, options.signal), method.name);
    }
  }

  /**
   * Commits one transaction. Transactions of one turn of the event loop are sent in one call; each
   * has its own log entry and outcome.
   *
   * @throws {AshlarError} the errors of `mutate`.
   */
  transact(
    transaction: Omit<TransactionRequest, "sequence">,
    options: CallOptions = {},
  ): Promise<Transacted> {
    const { preconditions, operations } = transaction;
    const committed = this.#inSession(options, (session, sequence, call) =>
      session.transactions.submit({ sequence, preconditions, operations }, call),
    );
    return mayChangePlacement(operations) ? committed.finally(this.#countChange) : committed;
  }

  /**
   * Commits one mutation. Repeated attempts carry the same sequence number and receive the outcome
   * of the first.
   *
   * @throws {AshlarError} the refusal; COMMIT_UNKNOWN if the session ended after an attempt that
   *   may have been committed; DEADLINE_EXCEEDED or CANCELLED, also possibly after a commit.
   */
  mutate<Request, Response extends Indexed>(
    method: CallMethod<Request, Response>,
    requestFor: (attempt: Attempt) => Request,
    options: CallOptions = {},
  ): Promise<Response> {
    return this.#inSession(options, (session, sequence, call) => {
      const { sessionId, sequences } = session;
      const request = requestFor({ sessionId, sequence, firstUnacknowledged: sequences.first });
      return this.#callThrough(this.#options.channel, method, request, call);
    }).finally(this.#countChange);
  }

  /** Called after a change, also if its outcome is unknown. */
  readonly #countChange = (): void => {
    this.#placementChanges += 1;
  };

  async #inSession<Response extends Indexed>(
    options: CallOptions,
    attempt: (session: RaftSession, sequence: number, call: ChangeOptions) => Promise<Response>,
  ): Promise<Response> {
    const endsAtMs = this.#nowMs() + timeoutOf(options, this.#options.timeoutMs);
    for (let opened = 1; ; opened += 1) {
      this.#checkOpen();
      const session = this.#session ?? (await this.#open(options.signal));
      const limits = { ...options, timeoutMs: this.#remainingMs(endsAtMs) };
      const sequence = session.sequences.tryTake() ?? (await session.sequences.take(limits));
      let isUncertain = false;
      const onUncertain = (): void => {
        isUncertain = true;
      };
      try {
        const timeoutMs = this.#remainingMs(endsAtMs);
        const response = await attempt(session, sequence, { ...options, timeoutMs, onUncertain });
        this.#noteIndex(response);
        return response;
      } catch (error) {
        if (!isAshlarError(error, "SESSION_EXPIRED")) throw error;
        this.#discard(session);
        if (isUncertain) throw commitUnknown(error);
        if (opened === REOPEN_MAX) throw error;
      } finally {
        session.sequences.release(sequence);
        session.lastUsedMs = this.#nowMs();
      }
    }
  }

  /** Closes the session without waiting for pending calls. Never fails. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#keepAlive?.cancel();
    this.#closing.abort(closed());
    try {
      const session = this.#session ?? (await this.#opening);
      if (session === null) return;
      const { sessionId } = session;
      const options = leaderOptions({ timeoutMs: CLOSE_TIMEOUT_MS }, CLOSE_TIMEOUT_MS);
      const received = await this.#options.channel.call(closeSession, { sessionId }, options);
      received.release();
    } catch (error) {
      // Harmless: the masters expire the session.
      this.#options.log.debug("Cannot close the session", { error });
    }
  }

  #open(signal: AbortSignal | undefined): Promise<RaftSession> {
    // Several mutations may wait for one opening: the signal of one must not cancel it for all.
    this.#opening ??= this.#openNew().finally(() => {
      this.#opening = null;
    });
    return untilAborted(this.#opening, signal);
  }

  async #openNew(): Promise<RaftSession> {
    const { channel, clientName, timeoutMs } = this.#options;
    // Repeating is harmless: a session opened twice expires.
    const options = leaderOptions({ signal: this.#closing.signal }, timeoutMs);
    const received = await channel.call(openSession, { clientName }, options);
    received.release();
    const { sessionId, idleMsMax } = received.head;
    const session: RaftSession = {
      sessionId,
      idleMsMax,
      sequences: new SequenceWindow(this.#options.clock),
      transactions: this.#transactBatcher(() => session),
      lastUsedMs: this.#nowMs(),
    };
    this.#session = session;
    this.#scheduleKeepAlive(session);
    return session;
  }

  #transactBatcher(session: () => RaftSession): TransactBatcher {
    const { clock, channel } = this.#options;
    return new CallBatcher({
      clock,
      channel,
      method: transact,
      requestOf: (transactions) => {
        const { sessionId, sequences } = session();
        return { sessionId, firstUnacknowledged: sequences.first, transactions };
      },
      resultsOf: (response) => response.outcomes,
      sizeOf: sizeOfTransaction,
    });
  }

  #scheduleKeepAlive(session: RaftSession): void {
    if (this.#isClosed) return;
    this.#keepAlive?.cancel();
    const intervalMs = session.idleMsMax / 3;
    const idleMs = this.#nowMs() - session.lastUsedMs;
    this.#keepAlive = this.#options.clock.after(Math.max(1, intervalMs - idleMs), () => {
      this.#keepSession(session, intervalMs).catch((error: unknown) => {
        this.#options.log.debug("Cannot keep the session alive", { error });
      });
    });
  }

  async #keepSession(session: RaftSession, intervalMs: number): Promise<void> {
    try {
      if (this.#nowMs() - session.lastUsedMs >= intervalMs) {
        const { sessionId } = session;
        await this.call(keepSession, { sessionId }, { timeoutMs: intervalMs });
        session.lastUsedMs = this.#nowMs();
      }
    } catch (error) {
      if (isAshlarError(error, "SESSION_EXPIRED")) {
        this.#discard(session);
        return;
      }
      // The masters may be unreachable: the next attempt follows after half an interval.
      session.lastUsedMs = this.#nowMs() - intervalMs / 2;
    }
    this.#scheduleKeepAlive(session);
  }

  /** Discards an expired session. The next mutation opens another. */
  #discard(session: RaftSession): void {
    if (this.#session !== session) return;
    this.#session = null;
    this.#keepAlive?.cancel();
  }

  #checkOpen(): void {
    if (this.#isClosed) throw closed();
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  #remainingMs(endsAtMs: number): number {
    return Math.max(1, endsAtMs - this.#nowMs());
  }
}

function closed(): AshlarError {
  return new AshlarError("CANCELLED", "Cannot call the masters: the file system is closed");
}

function leaderOptions(options: MutationOptions, timeoutMsDefault: number): LeaderCallOptions {
  const { signal, onUncertain } = options;
  const timeoutMs = timeoutOf(options, timeoutMsDefault);
  return { timeoutMs, idempotent: true, onUncertain, ...(signal === undefined ? {} : { signal }) };
}

function commitUnknown(cause: AshlarError): AshlarError {
  return new AshlarError(
    "COMMIT_UNKNOWN",
    "Cannot determine whether the change was committed: the session ended after an attempt without a response",
    { cause, hint: "Read the current state before you repeat the change" },
  );
}
