import { AshlarError, isAshlarError, toErrorData } from "../../shared/base/errors.ts";
import type { ServerId } from "../../shared/base/ids.ts";
import { Deferred } from "../../shared/flow/deferred.ts";
import type { Clock, Timer } from "../../shared/ports/clock.ts";
import { writeChunk } from "../../shared/protocol/chunk-api.ts";
import type { Receipt, ServerLocation } from "../../shared/protocol/intent.ts";
import type { ConnectionPool } from "../../shared/wire/connection-pool.ts";
import type { Stream } from "../../shared/wire/rpc.ts";

export type WriteOpen = ReturnType<(typeof writeChunk)["parseOpen"]>;
export type WriteUp = ReturnType<(typeof writeChunk)["parseUp"]>;
export type WriteDown = ReturnType<(typeof writeChunk)["parseDown"]>;

/** A server is given up that makes no progress for so long, and the longer the more come after it: */
const STALL_MS = 15_000;
/** … so that the server next to the stall notices it first and names the right one. */
const STALL_MS_PER_HOP = 5_000;
const CONNECT_TIMEOUT_MS = 3_000;

/** The chain is broken at `serverId`. */
export class ChainBroken extends Error {
  override readonly name = "ChainBroken";
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

/** `error`, told as a break of the chain at `serverId` unless it is one already. */
export function chainBroken(serverId: ServerId, error: unknown): ChainBroken {
  if (error instanceof ChainBroken) return error;
  const { code, message } = toErrorData(error);
  return new ChainBroken(serverId, { code, message: message.slice(0, 4000) }, error);
}

export interface NextHopWorld {
  readonly pool: ConnectionPool;
  readonly clock: Clock;
}

/**
 * The rest of a write chain, as the server before it sees it.
 *
 * Whatever goes wrong there is learned in one place, the reading of its messages: `broken` rejects
 * with the server to blame.
 */
export class NextHop {
  readonly #server: ServerLocation;
  readonly #clock: Clock;
  readonly #stallMs: number;
  readonly #onAck: () => void;
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
  /** The last message has come. */
  #isOver = false;
  #isClosed = false;

  /** `onAck` is called when `ackedBytes` has grown. */
  constructor(world: NextHopWorld, open: WriteOpen, onAck: () => void) {
    const server = open.intent.servers[open.position];
    if (server === undefined) {
      throw new AshlarError("INVALID_ARGUMENT", "Cannot pass a write on: the chain has ended");
    }
    this.#server = server;
    this.#clock = world.clock;
    this.#onAck = onAck;
    this.#stallMs = STALL_MS + STALL_MS_PER_HOP * (open.intent.servers.length - open.position);
  }

  /** Rejects with a ChainBroken when the chain breaks; never resolves. */
  get broken(): Promise<never> {
    return this.#broken.promise;
  }

  /** Bytes that all servers from there on have written. */
  get ackedBytes(): number {
    return this.#ackedBytes;
  }

  /** Resolves when all servers from there on are ready. @throws {ChainBroken} */
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
      if (this.#isClosed) throw new AshlarError("CANCELLED", "The write ended while it was opened");
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
   * Passes a frame on. Resolves when `body` may be reused, also when the chain is broken: that is
   * told by `broken`.
   */
  async forward(head: Extract<WriteUp, { kind: "blocks" }>, body: Uint8Array): Promise<void> {
    if (this.#sentBytes === this.#ackedBytes) this.#progressMs = this.#clock.monotonicMs();
    this.#sentBytes = head.offsetBytes + body.length;
    try {
      await this.#stream?.send(head, body);
    } catch (error) {
      // The reader fails with the reason; a stream that only cannot send would show as a stall.
      if (!isAshlarError(error)) throw error;
    }
  }

  /** Seals the chunk there. Resolves with the receipts of all. @throws {ChainBroken} */
  async seal(head: Extract<WriteUp, { kind: "seal" }>): Promise<readonly Receipt[]> {
    this.#progressMs = this.#clock.monotonicMs();
    this.#isWaiting = true;
    this.#stream?.send(head).catch(() => {}); // As above.
    return await Promise.race([this.#sealed.promise, this.broken]);
  }

  /** Gives the stream up unless it has ended. Resolves when nothing of it is under way here. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    if (!this.#isOver) {
      this.#stream?.cancel(new AshlarError("CANCELLED", "The write before this server has ended"));
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
      case "opened":
        this.#opened.resolve();
        return "more";
      case "ack":
        this.#ackedBytes = Math.max(this.#ackedBytes, head.bytes);
        this.#onAck();
        return "more";
      case "sealed":
        this.#timer?.cancel();
        this.#sealed.resolve(head.receipts);
        return "over";
      case "failed":
        this.#fail(new ChainBroken(head.serverId, head.error));
        return "over";
    }
  }

  #fail(error: unknown): void {
    this.#timer?.cancel();
    this.#broken.reject(chainBroken(this.#server.serverId, error));
  }

  #watch(): void {
    this.#progressMs = this.#clock.monotonicMs();
    const check = (): void => {
      if (this.#isClosed) return;
      const isOwing = this.#isWaiting || this.#sentBytes > this.#ackedBytes;
      const silentMs = this.#clock.monotonicMs() - this.#progressMs;
      if (isOwing && silentMs >= this.#stallMs) {
        const message = `Server made no progress for ${this.#stallMs} ms`;
        this.#fail(new AshlarError("DEADLINE_EXCEEDED", message));
        return;
      }
      this.#timer = this.#clock.after(this.#stallMs / 4, check);
    };
    this.#timer = this.#clock.after(this.#stallMs / 4, check);
  }
}
