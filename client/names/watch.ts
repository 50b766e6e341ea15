import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { joinPath, type PathInput, parsePath } from "../../shared/base/path.ts";
import { nextDelayMs, type RetryPolicy } from "../../shared/flow/retry.ts";
import { type FeedPosition, type WatchMessage, watch } from "../../shared/protocol/feed-api.ts";
import { withTimeout } from "../../shared/wire/with-timeout.ts";
import type { ClientDeps } from "../client-deps.ts";
import { Deadline } from "../deadline.ts";
import type { WatchCursor, WatchOptions } from "../options.ts";
import type { Watch, WatchEvent } from "../results.ts";

const HEARTBEAT_MS = 1_000;
/** A master that says nothing for so long, though it owes a word every second, is left. */
const SILENCE_TIMEOUT_MS = 5_000;
const CONNECT_TIMEOUT_MS = 1_000;
/** A stream is opened anew now and then, so that watchers spread over masters that came back. */
const STREAM_LIFETIME_MS = 60 * 60 * 1_000;
const ROUND_POLICY: RetryPolicy = { delayMsMin: 50, delayMsMax: 1_000 };

/** What is wrong with one master and says nothing of the others. */
const MASTER_LOCAL_ERRORS: ReadonlySet<string> = new Set([
  "DISK_FAILED",
  "NO_SPACE",
  "STORE_CORRUPT",
  "LOG_CORRUPT",
]);

/**
 * A watch that survives its masters: it asks one after the other, from where it is, so that each
 * event is given once and in order, whichever of them answers.
 */
export class ClusterWatch implements Watch {
  readonly #deps: ClientDeps;
  readonly #path: Uint8Array;
  readonly #options: WatchOptions;
  #cursor: FeedPosition | null;

  constructor(deps: ClientDeps, path: PathInput, options: WatchOptions) {
    this.#deps = deps;
    this.#path = joinPath(parsePath(path));
    this.#options = options;
    this.#cursor = positionOf(options.from);
  }

  get cursor(): WatchCursor | null {
    return this.#cursor;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<WatchEvent, void, void> {
    const { env, feed } = this.#deps;
    const { signal, onProgress } = this.#options;
    using deadline = new Deadline(env.clock, "watch", signal === undefined ? {} : { signal });
    deadline.follow(feed.closing);
    const search = new MasterRotation(this.#deps, this.#options, deadline);
    for (;;) {
      deadline.check();
      const address = search.address;
      try {
        for await (const message of this.#messages(address, deadline)) {
          search.recordMessage();
          for (const event of message.events) {
            this.#moveTo({ index: event.index, sequence: event.sequence + 1 });
            yield { ...event, next: this.#cursor as WatchCursor };
          }
          this.#moveTo(message.next);
          onProgress?.(message.next);
        }
        throw new AshlarError("CONNECTION_LOST", `${address} ended the feed`);
      } catch (error) {
        await search.moveToNext(requireRetriable(error, deadline), this.#cursor);
      }
    }
  }

  /** What one master says, until the stream to it ends. */
  async *#messages(
    address: string,
    { signal }: Deadline,
  ): AsyncGenerator<WatchMessage, void, void> {
    const { env, feed } = this.#deps;
    const connection = await feed.pool.get(address, { timeoutMs: CONNECT_TIMEOUT_MS, signal });
    const request = {
      path: this.#path,
      heartbeatMs: HEARTBEAT_MS,
      ...(this.#cursor === null ? {} : { from: this.#cursor }),
    };
    const stream = connection.open(watch, request, { timeoutMs: STREAM_LIFETIME_MS });
    const refreshing = feed.refreshAddresses(connection);
    try {
      for (;;) {
        const what = `The feed of ${address}`;
        const waiting = { clock: env.clock, timeoutMs: SILENCE_TIMEOUT_MS, signal, what };
        const received = await withTimeout(stream.receive(), waiting);
        if (received === null) return;
        received.release();
        yield received.head;
      }
    } finally {
      stream.cancel(new AshlarError("CANCELLED", "Nobody watches any more"));
      await refreshing;
    }
  }

  /** The masters say the same in the same order: one that goes back is not to be believed. */
  #moveTo(next: FeedPosition): void {
    const now = this.#cursor;
    if (now !== null && isBefore(next, now)) {
      throw new AshlarError(
        "PROTOCOL_ERROR",
        `Cannot go on watching: expected what is after ${now.index}:${now.sequence}: got ${next.index}:${next.sequence}`,
      );
    }
    this.#cursor = next;
  }
}

/** The error, if another master may do better. @throws what ends the watch */
function requireRetriable(error: unknown, { signal }: Deadline): AshlarError {
  if (signal.aborted) throw signal.reason;
  if (!isAshlarError(error)) throw error;
  if (error.retry === "never" && !MASTER_LOCAL_ERRORS.has(error.code)) throw error;
  return error;
}

/** Which master is asked, and for how long in vain. */
class MasterRotation {
  readonly #deps: ClientDeps;
  readonly #timeoutMs: number;
  readonly #deadline: Deadline;
  #place: number;
  /** Since the last word of any master. */
  #failures = 0;
  #lastMessageMs: number;

  constructor(deps: ClientDeps, { timeoutMs }: WatchOptions, deadline: Deadline) {
    this.#deps = deps;
    this.#timeoutMs = timeoutMs ?? deps.timeoutMs;
    this.#deadline = deadline;
    this.#lastMessageMs = deps.env.clock.monotonicMs();
    // Any master will do: watchers spread over them.
    this.#place = Math.floor(deps.env.random.fraction() * deps.feed.addresses().length);
  }

  get address(): string {
    const addresses = this.#deps.feed.addresses();
    return addresses[this.#place % addresses.length] as string;
  }

  recordMessage(): void {
    this.#failures = 0;
    this.#lastMessageMs = this.#deps.env.clock.monotonicMs();
  }

  /** Resolves when the next one is to be asked. @throws {AshlarError} when none was heard for long. */
  async moveToNext(error: AshlarError, cursor: FeedPosition | null): Promise<void> {
    const { env, feed, onRetry } = this.#deps;
    this.#failures += 1;
    this.#place += 1;
    const { length } = feed.addresses();
    const round = Math.floor(this.#failures / length);
    const isRound = this.#failures % length === 0;
    const delayMs = isRound ? nextDelayMs(round, ROUND_POLICY, env.random.fraction()) : 0;
    const quietMs = env.clock.monotonicMs() - this.#lastMessageMs;
    if (quietMs + delayMs > this.#timeoutMs) throw watchFailed(error, cursor, quietMs);
    onRetry({ operation: watch.name, attempt: this.#failures, delayMs, error });
    if (isRound) await env.clock.sleep(delayMs, this.#deadline.signal);
  }
}

function watchFailed(
  error: AshlarError,
  cursor: FeedPosition | null,
  quietMs: number,
): AshlarError {
  const from = cursor === null ? "now" : cursorText(cursor);
  return new AshlarError(
    error.code,
    `Cannot watch from ${from}, no master answered for ${Math.round(quietMs)} ms: ${error.message}`,
    { cause: error, details: { ...error.details, ...(cursor === null ? {} : { cursor }) } },
  );
}

function isBefore(left: FeedPosition, right: FeedPosition): boolean {
  return left.index < right.index || (left.index === right.index && left.sequence < right.sequence);
}

function positionOf(from: WatchOptions["from"]): FeedPosition | null {
  if (from === undefined) return null;
  const { index, sequence } = typeof from === "number" ? { index: from, sequence: 0 } : from;
  if (
    !Number.isSafeInteger(index) ||
    index < 0 ||
    !Number.isSafeInteger(sequence) ||
    sequence < 0
  ) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot watch from ${index}:${sequence}: expected an index and a sequence, integers from 0`,
    );
  }
  return { index: index as FeedPosition["index"], sequence };
}

/** A cursor as a command line takes it: "1234:0". */
function cursorText({ index, sequence }: WatchCursor): string {
  return `${index}:${sequence}`;
}
