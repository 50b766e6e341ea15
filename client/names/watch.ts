import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { joinPath, type PathInput, parsePath, pathText } from "../../shared/base/path.ts";
import { nextDelayMs, type RetryPolicy } from "../../shared/flow/retry.ts";
import {
  type FeedEvent,
  type FeedPosition,
  type WatchMessage,
  watch,
} from "../../shared/protocol/feed-api.ts";
import { withTimeout } from "../../shared/wire/with-timeout.ts";
import type { ClientDeps } from "../client-deps.ts";
import { Deadline } from "../deadline.ts";
import type { WatchCursor, WatchOptions } from "../options.ts";
import type { Watch, WatchEvent } from "../results.ts";

const HEARTBEAT_MS = 1_000;
/**
 * Silence timeout: the next master is tried after this many ms without a heartbeat, which is due
 * every second.
 */
const SILENCE_TIMEOUT_MS = 5_000;
const CONNECT_TIMEOUT_MS = 1_000;
/**
 * Streams are reopened after this time, so that watches spread over masters that have restarted.
 */
const STREAM_LIFETIME_MS = 60 * 60 * 1_000;
const ROUND_POLICY: RetryPolicy = { delayMsMin: 50, delayMsMax: 1_000 };

/** Errors of one master's disk or store. Another master can serve the watch. */
const MASTER_LOCAL_ERRORS: ReadonlySet<string> = new Set([
  "DISK_FAILED",
  "NO_SPACE",
  "STORE_CORRUPT",
  "LOG_CORRUPT",
]);

/**
 * A watch that survives the loss of masters. It continues at the next master from its cursor, so
 * each event is delivered once and in order. All masters deliver the same events.
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
    const { env, closing } = this.#deps;
    const { signal, onProgress } = this.#options;
    using deadline = new Deadline(env.clock, "watch", signal === undefined ? {} : { signal });
    deadline.follow(closing);
    const masters = new MasterRotation(this.#deps, this.#options, deadline);
    for (;;) {
      deadline.check();
      const address = masters.address;
      try {
        for await (const message of this.#messages(address, deadline)) {
          masters.recordMessage();
          for (const event of message.events) {
            this.#moveTo({ index: event.index, sequence: event.sequence + 1 });
            yield toWatchEvent(event, this.#cursor as WatchCursor);
          }
          this.#moveTo(message.next);
          onProgress?.(message.next);
        }
        throw new AshlarError("CONNECTION_LOST", `The master ${address} ended the feed`);
      } catch (error) {
        await masters.moveToNext(requireRetriable(error, deadline), this.#cursor);
      }
    }
  }

  /** Yields the messages of one master until its stream ends. */
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
      stream.cancel(new AshlarError("CANCELLED", "The watch has ended"));
      await refreshing;
    }
  }

  /**
   * Advances the cursor. All masters deliver the same events in the same order, so a position
   * before the cursor is a protocol error.
   */
  #moveTo(next: FeedPosition): void {
    const now = this.#cursor;
    if (now !== null && isBefore(next, now)) {
      throw new AshlarError(
        "PROTOCOL_ERROR",
        `Cannot watch: expected a position from ${cursorText(now)} on: current value is ${cursorText(next)}`,
      );
    }
    this.#cursor = next;
  }
}

/** Returns an event with its paths as text and as bytes. */
function toWatchEvent(event: FeedEvent, next: WatchCursor): WatchEvent {
  const paths = bothForms(event.path);
  if (event.kind !== "renamed") return { ...event, ...paths, next };
  return { ...event, ...paths, from: { ...event.from, ...bothForms(event.from.path) }, next };
}

function bothForms(path: Uint8Array | null) {
  return { path: path === null ? null : pathText(path), pathBytes: path };
}

/** Returns the error if another master may succeed. @throws the error that ends the watch */
function requireRetriable(error: unknown, { signal }: Deadline): AshlarError {
  if (signal.aborted) throw signal.reason;
  if (!isAshlarError(error)) throw error;
  if (error.retry === "never" && !MASTER_LOCAL_ERRORS.has(error.code)) throw error;
  return error;
}

/** Selects the masters in turn, and ends the watch if none of them has answered for the timeout. */
class MasterRotation {
  readonly #deps: ClientDeps;
  readonly #timeoutMs: number;
  readonly #deadline: Deadline;
  #position: number;
  /** Failures since the last message of any master. */
  #failures = 0;
  /** Monotonic time of the last message of any master. */
  #lastMessageMs: number;

  constructor(deps: ClientDeps, { timeoutMs }: WatchOptions, deadline: Deadline) {
    this.#deps = deps;
    this.#timeoutMs = timeoutMs ?? deps.timeoutMs;
    this.#deadline = deadline;
    this.#lastMessageMs = deps.env.clock.monotonicMs();
    // A random start spreads the watches over the masters.
    this.#position = Math.floor(deps.env.random.fraction() * deps.feed.addresses().length);
  }

  get address(): string {
    const addresses = this.#deps.feed.addresses();
    return addresses[this.#position % addresses.length] as string;
  }

  /** Resets the failure count and the timeout. */
  recordMessage(): void {
    this.#failures = 0;
    this.#lastMessageMs = this.#deps.env.clock.monotonicMs();
  }

  /**
   * Selects the next master after `error`. Resolves when it can be asked: after a delay at the end
   * of each round over all masters.
   *
   * @throws {AshlarError} the last error if no master sent a message within the timeout.
   */
  async moveToNext(error: AshlarError, cursor: FeedPosition | null): Promise<void> {
    const { env, feed, onRetry } = this.#deps;
    this.#failures += 1;
    this.#position += 1;
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
    `Cannot watch from ${from}: no master answered for ${Math.round(quietMs)} ms: ${error.message}`,
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
      `Cannot watch: expected a start of two non-negative integers: current value is ${index}:${sequence}`,
    );
  }
  return { index: index as FeedPosition["index"], sequence };
}

/** Formats a cursor as the CLI prints and parses it: "1234:0". */
function cursorText({ index, sequence }: WatchCursor): string {
  return `${index}:${sequence}`;
}
