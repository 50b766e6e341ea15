import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, SessionId } from "../../shared/base/ids.ts";
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
  type TransactRequest,
  type TransactResponse,
  transact,
} from "../../shared/protocol/transact-api.ts";
import type { LeaderCallOptions, LeaderChannel } from "../../shared/wire/leader-channel.ts";
import type { Connection } from "../../shared/wire/rpc.ts";
import { causeOf, untilAborted } from "../deadline.ts";
import type { CallOptions, ReadModeName } from "../options.ts";
import { CallBatcher } from "./call-batcher.ts";
import { sizeOfTarget, sizeOfTransaction } from "./message-size.ts";

/** Sessions that may end under one mutation before it gives up. */
const REOPEN_MAX = 3;
const CLOSE_TIMEOUT_MS = 1_000;
/** Gatherers of reads that are kept: of each read mode, and of states of the past. */
const STAT_BATCHERS_MAX = 64;

type StatBatcher = CallBatcher<Target, Attributes, StatRequest, StatResponse>;
type TransactBatcher = CallBatcher<
  TransactionRequest,
  Transacted,
  TransactRequest,
  TransactResponse
>;

/** A session with the masters: its mutations have their effect once, however often they are sent. */
interface RaftSession {
  readonly sessionId: SessionId;
  readonly idleMsMax: number;
  nextSequence: number;
  readonly transactions: TransactBatcher;
  /** Mutations whose outcome this client may still ask for, the oldest first. */
  readonly inFlight: Set<number>;
  /** Monotonic time of the last mutation or keep-alive. */
  lastUsedMs: number;
}

/** Every answer about the namespace says which index it shows. */
interface Indexed {
  readonly index: LogIndex;
}

export interface MasterSessionOptions {
  readonly channel: Pick<LeaderChannel, "call" | "callParts" | "connection" | "refreshMasters">;
  /** The same to any master: for reads that need no leader. */
  readonly anyMaster: Pick<LeaderChannel, "call" | "callParts">;
  readonly clock: Clock;
  readonly log: Log;
  readonly clientName: string;
  /** Of one call, with all its retries. */
  readonly timeoutMs: number;
  /** Of reads that do not say. */
  readonly readMode: ReadModeName;
  /** What session reads must see from the beginning on. */
  readonly seenIndex: LogIndex;
  /** Attempts so far, over all calls, that failed and may have had their effect. */
  readonly uncertainAttempts: () => number;
}

/**
 * Calls to the masters: reads as they are, mutations exactly once (Raft thesis §6.3).
 *
 * The session is opened by the first mutation and kept alive until `close`.
 */
export class MasterSession implements AsyncDisposable {
  readonly #options: MasterSessionOptions;
  /** By read mode and index. */
  readonly #stats = new Map<string, StatBatcher>();
  #session: RaftSession | null = null;
  #opening: Promise<RaftSession> | null = null;
  /** Ends an opening that nobody waits for any more. */
  readonly #closing = new AbortController();
  #keepAlive: Timer | null = null;
  #isClosed = false;
  #lastIndex: LogIndex;

  constructor(options: MasterSessionOptions) {
    this.#options = options;
    this.#lastIndex = options.seenIndex;
  }

  /** Of reads that do not say. */
  get readMode(): ReadModeName {
    return this.#options.readMode;
  }

  /** The highest index that an answer has shown: session reads show it too. */
  get lastIndex(): LogIndex {
    return this.#lastIndex;
  }

  /** A call that may be repeated freely. */
  call<Request, Response>(
    method: CallMethod<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Response> {
    return this.#callThrough(this.#options.channel, method, request, options);
  }

  /** Looks at the namespace, as the read mode of the call or of the connection says. */
  async read<Request extends { readonly read: ReadMode }, Response extends Indexed>(
    method: CallMethod<Request, Response>,
    request: Omit<Request, "read">,
    options: CallOptions = {},
  ): Promise<Response> {
    const { channel, anyMaster, readMode } = this.#options;
    const read = this.#readModeOf(options.readMode ?? readMode);
    const asked = { ...request, read } as unknown as Request;
    const through = read.kind === "linearizable" ? channel : anyMaster;
    const response = await this.#callThrough(through, method, asked, options);
    this.#noteIndex(response);
    return response;
  }

  /**
   * The attributes of a target, as of `index` where it is given. Those that are asked for in one turn
   * travel together.
   */
  async stat(
    target: Target,
    options: CallOptions & { readonly index?: LogIndex | undefined } = {},
  ): Promise<Attributes> {
    this.#checkOpen();
    const { readMode = this.#options.readMode, timeoutMs = this.#options.timeoutMs } = options;
    const { signal, index } = options;
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
    // What one has gathered it sends although it is not known here any more.
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
    options: CallOptions,
  ): Promise<Response> {
    this.#checkOpen();
    const { timeoutMs } = this.#options;
    try {
      const received = await channel.call(method, request, leaderOptions(options, timeoutMs));
      received.release();
      return received.head;
    } catch (error) {
      throw causeOf(error, options.signal);
    }
  }

  /** A connection to a master, the leader if it is known: for streams. Not to be closed. */
  async connection(options: CallOptions = {}): Promise<Connection> {
    const { channel, timeoutMs } = this.#options;
    this.#checkOpen();
    try {
      return await channel.connection(leaderOptions(options, timeoutMs));
    } catch (error) {
      throw causeOf(error, options.signal);
    }
  }

  /** This client has changed who the masters are: it finds them, though all that it knew may go. */
  refreshMasters({ signal }: CallOptions = {}): Promise<void> {
    return this.#options.channel.refreshMasters(signal);
  }

  /** A call that must not be repeated once it may have had its effect. */
  async callOnce<Request, Response>(
    method: CallMethod<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Response> {
    const { channel, timeoutMs } = this.#options;
    this.#checkOpen();
    try {
      const how = { ...leaderOptions(options, timeoutMs), idempotent: false };
      const received = await channel.call(method, request, how);
      received.release();
      return received.head;
    } catch (error) {
      throw causeOf(error, options.signal);
    }
  }

  /**
   * One transaction. Those of one turn travel together; each has its own entry and outcome.
   *
   * @throws {AshlarError} as `mutate` does.
   */
  transact(
    transaction: Omit<TransactionRequest, "sequence">,
    options: CallOptions = {},
  ): Promise<Transacted> {
    const { preconditions, operations } = transaction;
    const { signal } = options;
    return this.#inSession(options, (session, sequence, timeoutMs) =>
      session.transactions.submit({ sequence, preconditions, operations }, { timeoutMs, signal }),
    );
  }

  /**
   * One mutation. A repeated attempt carries the same sequence number and gets the first outcome.
   *
   * @throws {AshlarError} the refusal; COMMIT_UNKNOWN if the session ended after an attempt that
   *   may have been committed; DEADLINE_EXCEEDED and CANCELLED: it may or may not be committed.
   */
  mutate<Request, Response extends Indexed>(
    method: CallMethod<Request, Response>,
    requestFor: (attempt: Attempt) => Request,
    options: CallOptions = {},
  ): Promise<Response> {
    return this.#inSession(options, (session, sequence, timeoutMs) => {
      const { sessionId } = session;
      const firstUnacknowledged = firstInFlight(session);
      const request = requestFor({ sessionId, sequence, firstUnacknowledged });
      return this.#callThrough(this.#options.channel, method, request, { ...options, timeoutMs });
    });
  }

  async #inSession<Response extends Indexed>(
    options: CallOptions,
    attempt: (session: RaftSession, sequence: number, timeoutMs: number) => Promise<Response>,
  ): Promise<Response> {
    const endsAtMs = this.#nowMs() + (options.timeoutMs ?? this.#options.timeoutMs);
    for (let opened = 1; ; opened += 1) {
      this.#checkOpen();
      const session = this.#session ?? (await this.#open(options.signal));
      const sequence = session.nextSequence;
      session.nextSequence += 1;
      session.inFlight.add(sequence);
      const uncertainBefore = this.#options.uncertainAttempts();
      try {
        const response = await attempt(session, sequence, this.#remainingMs(endsAtMs));
        this.#noteIndex(response);
        return response;
      } catch (error) {
        if (!isAshlarError(error, "SESSION_EXPIRED")) throw error;
        this.#discard(session);
        // Some attempt of some mutation ended without an answer: it may have been one of this one.
        if (this.#options.uncertainAttempts() !== uncertainBefore) throw commitUnknown(error);
        if (opened === REOPEN_MAX) throw error;
      } finally {
        session.inFlight.delete(sequence);
        session.lastUsedMs = this.#nowMs();
      }
    }
  }

  /** Ends the session; what is under way is not waited for. Never fails. */
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
      const reply = await this.#options.channel.call(closeSession, { sessionId }, options);
      reply.release();
    } catch (error) {
      // It expires by itself.
      this.#options.log.debug("Cannot close the session", { error });
    }
  }

  #open(signal: AbortSignal | undefined): Promise<RaftSession> {
    // Many mutations may wait for it: no one's signal ends it for the others.
    this.#opening ??= this.#openNew().finally(() => {
      this.#opening = null;
    });
    return untilAborted(this.#opening, signal);
  }

  async #openNew(): Promise<RaftSession> {
    const { channel, clientName, timeoutMs } = this.#options;
    // Opening twice leaves a session behind that expires: repeating is harmless.
    const options = leaderOptions({ signal: this.#closing.signal }, timeoutMs);
    const received = await channel.call(openSession, { clientName }, options);
    received.release();
    const { sessionId, idleMsMax } = received.head;
    const session: RaftSession = {
      sessionId,
      idleMsMax,
      nextSequence: 1,
      transactions: this.#transactBatcher(() => session),
      inFlight: new Set(),
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
        const { sessionId } = session();
        return { sessionId, firstUnacknowledged: firstInFlight(session()), transactions };
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
        this.#options.log.debug("Cannot keep the session", { error });
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
      // Not before another interval: the masters may be away.
      session.lastUsedMs = this.#nowMs() - intervalMs / 2;
    }
    this.#scheduleKeepAlive(session);
  }

  /** The next mutation opens another session. */
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

/** The lowest sequence whose outcome may still be asked for. */
function firstInFlight({ inFlight, nextSequence }: RaftSession): number {
  const [first = nextSequence] = inFlight;
  return first;
}

function leaderOptions(options: CallOptions, timeoutMsDefault: number): LeaderCallOptions {
  const { signal, timeoutMs = timeoutMsDefault } = options;
  return { timeoutMs, idempotent: true, ...(signal === undefined ? {} : { signal }) };
}

function commitUnknown(cause: AshlarError): AshlarError {
  return new AshlarError(
    "COMMIT_UNKNOWN",
    "Cannot tell whether the change was committed: the session ended after an attempt without an answer",
    { cause, hint: "Look at what is there before repeating it" },
  );
}
