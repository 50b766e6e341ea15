import { AshlarError, isAshlarError, toErrorData } from "../../shared/base/errors.ts";
import type { ServerId } from "../../shared/base/ids.ts";
import { Deferred } from "../../shared/flow/deferred.ts";
import type { Clock, Timer } from "../../shared/ports/clock.ts";
import { sealTimeoutMsOf } from "../../shared/protocol/chain-timeouts.ts";
import {
  type WriteDown,
  type WriteOpen,
  type WriteUp,
  writeChunk,
} from "../../shared/protocol/chunk-api.ts";
import type { Receipt, ServerLocation } from "../../shared/protocol/intent.ts";
import type { ConnectionPool } from "../../shared/wire/connection-pool.ts";
import type { Stream } from "../../shared/wire/rpc.ts";

/** Stall timeout: the chain is broken after this many ms without progress of the next server. */
const STALL_TIMEOUT_MS = 15_000;
/**
 * Added to the stall timeout for each later server of the chain. So the server directly before a
 * stalled server detects the stall first and reports the right server.
 */
const STALL_TIMEOUT_MS_PER_HOP = 5_000;
/** Limit of the connection to the next server. */
export const CONNECT_TIMEOUT_MS = 3_000;

/** A write chain is broken at the server `serverId`. */
export class ChainBrokenError extends Error {
  override readonly name = "ChainBrokenError";
  readonly serverId: ServerId;
  readonly error: { readonly code: string; readonly message: string };

  constructor(
    serverId: ServerId,
    error: { readonly code: string; readonly message: string },
    cause?: unknown,
  ) {
    super(`Chain is broken at server ${serverId}: ${error.message}`, { cause });
    this.serverId = serverId;
    this.error = error;
  }
}

/**
 * Returns `error` as a break of the chain at `serverId`. A ChainBrokenError is returned unchanged.
 */
export function toChainBrokenError(serverId: ServerId, error: unknown): ChainBrokenError {
  if (error instanceof ChainBrokenError) return error;
  const { code, message } = toErrorData(error);
  return new ChainBrokenError(serverId, { code, message: message.slice(0, 4000) }, error);
}

/** What `NextHop` reports, besides failures. */
export interface NextHopEvents {
  /** `ackedBytes` has increased. */
  readonly onAck: () => void;
  /** The write waits for memory on a later server. */
  readonly onWaiting: (waiting: Extract<WriteDown, { kind: "waiting" }>) => void;
}

/** Dependencies of `NextHop`. */
export interface NextHopDeps {
  readonly pool: ConnectionPool;
  readonly clock: Clock;
}

/**
 * The rest of a write chain, seen from the server before it.
 *
 * Only the loop that reads its messages (`#read`) reports failures of the rest of the chain:
 * `broken` then rejects with the server that failed.
 */
export class NextHop {
  readonly #server: ServerLocation;
  readonly #clock: Clock;
  #stallTimeoutMs: number;
  readonly #sealTimeoutMs: number;
  readonly #events: NextHopEvents;
  readonly #opened = new Deferred<void>();
  readonly #sealed = new Deferred<readonly Receipt[]>();
  readonly #broken = new Deferred<never>();
  #stream: Stream<WriteUp, WriteDown> | null = null;
  #reading: Promise<void> = Promise.resolve();
  #timer: Timer | null = null;
  #progressMs = 0;
  #isWaiting = true;
  #sentBytes = 0;
  #ackedBytes = 0;
  /** Whether the last message of the stream was received. */
  #isOver = false;
  #isClosed = false;

  constructor(deps: NextHopDeps, open: WriteOpen, events: NextHopEvents) {
    const server = open.intent.servers[open.position];
    if (server === undefined) {
      throw new AshlarError("INVALID_ARGUMENT", "Cannot forward a write: this is the last server");
    }
    this.#server = server;
    this.#clock = deps.clock;
    this.#events = events;
    const hopsAfter = open.intent.servers.length - open.position;
    this.#stallTimeoutMs = STALL_TIMEOUT_MS + STALL_TIMEOUT_MS_PER_HOP * hopsAfter;
    this.#sealTimeoutMs = sealTimeoutMsOf(hopsAfter);
  }

  /** Rejects with a ChainBrokenError when the chain breaks. Never resolves. */
  get broken(): Promise<never> {
    return this.#broken.promise;
  }

  /** Bytes that the next server and all servers after it have written. */
  get ackedBytes(): number {
    return this.#ackedBytes;
  }

  /**
   * Resolves when the next server and all servers after it are ready.
   *
   * @throws {ChainBrokenError}
   */
  async open(
    pool: ConnectionPool,
    open: WriteOpen,
    options: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<void> {
    this.#watch();
    try {
      const { signal } = options;
      const timeoutMs = Math.min(options.timeoutMs, CONNECT_TIMEOUT_MS);
      const connection = await pool.get(this.#server.address, { timeoutMs, signal });
      if (this.#isClosed)
        throw new AshlarError("CANCELLED", "The write ended before it was opened");
      this.#stream = connection.open(writeChunk, open, options);
      this.#ackedBytes = open.resumeAtBytes;
      this.#sentBytes = open.resumeAtBytes;
      this.#reading = this.#read(this.#stream);
    } catch (error) {
      this.#fail(error);
    }
    await Promise.race([this.#opened.promise, this.broken]);
    this.#isWaiting = false;
  }

  /**
   * Forwards a frame. Resolves when `body` may be reused. If the chain breaks, this method resolves
   * too, and `broken` rejects.
   */
  async forward(head: Extract<WriteUp, { kind: "blocks" }>, body: Uint8Array): Promise<void> {
    if (this.#sentBytes === this.#ackedBytes) this.#progressMs = this.#clock.monotonicMs();
    this.#sentBytes = head.offsetBytes + body.length;
    try {
      await this.#stream?.send(head, body);
    } catch (error) {
      // `#read` fails with the reason. If only the sending fails, the stall timeout breaks the
      // chain.
      if (!isAshlarError(error)) throw error;
    }
  }

  /**
   * Seals the chunk on the rest of the chain. Resolves with the receipts of these servers.
   *
   * @throws {ChainBrokenError}
   */
  async seal(head: Extract<WriteUp, { kind: "seal" }>): Promise<readonly Receipt[]> {
    this.#progressMs = this.#clock.monotonicMs();
    this.#isWaiting = true;
    this.#stallTimeoutMs = this.#sealTimeoutMs;
    this.#stream?.send(head).catch(() => {}); // The reason is reported by `#read`.
    return await Promise.race([this.#sealed.promise, this.broken]);
  }

  /** Cancels the stream unless it has ended. Resolves when `#read` has ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    if (!this.#isOver) {
      this.#stream?.cancel(new AshlarError("CANCELLED", "The write ended on the previous server"));
    }
    await this.#reading;
  }

  async #read(stream: Stream<WriteUp, WriteDown>): Promise<void> {
    try {
      for (;;) {
        const message = await stream.receive();
        if (message === null) {
          this.#fail(new AshlarError("CONNECTION_LOST", "The write stream ended before its seal"));
          break;
        }
        message.release();
        this.#progressMs = this.#clock.monotonicMs();
        if (this.#onMessage(message.head) === "over") break;
      }
      this.#isOver = true;
    } catch (error) {
      this.#fail(error);
    }
  }

  #onMessage(head: WriteDown): "over" | "more" {
    switch (head.kind) {
      case "waiting":
        this.#events.onWaiting(head);
        return "more";
      case "opened":
        this.#opened.resolve();
        return "more";
      case "ack":
        this.#ackedBytes = Math.max(this.#ackedBytes, head.bytes);
        this.#events.onAck();
        return "more";
      case "sealed":
        this.#timer?.cancel();
        this.#sealed.resolve(head.receipts);
        return "over";
      case "failed":
        this.#fail(new ChainBrokenError(head.serverId, head.error));
        return "over";
    }
  }

  #fail(error: unknown): void {
    this.#timer?.cancel();
    this.#broken.reject(toChainBrokenError(this.#server.serverId, error));
  }

  #watch(): void {
    this.#progressMs = this.#clock.monotonicMs();
    const check = (): void => {
      if (this.#isClosed) return;
      const hasPendingWork = this.#isWaiting || this.#sentBytes > this.#ackedBytes;
      const idleMs = this.#clock.monotonicMs() - this.#progressMs;
      if (hasPendingWork && idleMs >= this.#stallTimeoutMs) {
        const message = `Server made no progress for ${this.#stallTimeoutMs} ms`;
        this.#fail(new AshlarError("DEADLINE_EXCEEDED", message));
        return;
      }
      this.#timer = this.#clock.after(this.#stallTimeoutMs / 4, check);
    };
    this.#timer = this.#clock.after(this.#stallTimeoutMs / 4, check);
  }
}
