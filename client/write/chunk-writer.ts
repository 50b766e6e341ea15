import { assert, present } from "../../shared/base/assert.ts";
import { toHex } from "../../shared/base/bytes.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { ChunkId } from "../../shared/base/ids.ts";
import { listenToAbort } from "../../shared/flow/abort-listeners.ts";
import { nextDelayMs } from "../../shared/flow/retry.ts";
import type { Env } from "../../shared/ports/env.ts";
import { statPartial } from "../../shared/protocol/chunk-api.ts";
import { chunkIdOf } from "../../shared/protocol/chunk-id.ts";
import type { Intent } from "../../shared/protocol/intent.ts";
import type { CommittedChunk } from "../../shared/protocol/namespace-api.ts";
import type { Chunkservers, ServerAddress } from "../chunkservers/chunkservers.ts";
import type { Deadline } from "../deadline.ts";
import type { RetryEvent } from "../options.ts";
import type { AcquiredIntent } from "./allocate-intents.ts";
import { ChunkBuffer, type ChunkFrame } from "./chunk-buffer.ts";
import { findResume } from "./find-resume.ts";
import type { Intents } from "./intents.ts";
import { Notifier } from "./notifier.ts";
import { type AttemptResult, EARLY_BYTES_MAX, WriteAttempt } from "./write-attempt.ts";

/**
 * Maximum number of pushed bytes that are not acknowledged. At most this many bytes are sent again
 * after a chain breaks.
 */
const UNACKED_BYTES_MAX = 8 * 1024 * 1024;
/** Maximum number of failed write chains per chunk. */
const ATTEMPTS_MAX = 8;
/** Delays before a chunk is sent again. */
export const CHUNK_RETRY = { delayMsMin: 50, delayMsMax: 2_000 } as const;
const STAT_TIMEOUT_MS = 2_000;

/** Dependencies and parameters of a `ChunkWriter`. */
export interface ChunkWriterOptions {
  readonly env: Env;
  readonly chunkservers: Chunkservers;
  readonly intents: Intents;
  readonly deadline: Deadline;
  /** Maximum length of the chunk. */
  readonly capacityBytes: number;
  /** Length of the chunk if it is known in advance, else null. */
  readonly sizeHintBytes: number | null;
  /** Chunks of the file that are not allocated yet, including this one. Null if unknown. */
  readonly chunksLeft: number | null;
  /** Called when a whole chain has acknowledged `moreBytes` more bytes of the chunk. */
  readonly onAcked: (moreBytes: number) => void;
  readonly onRetry: (event: RetryEvent) => void;
}

/** A chunk that is durable on every server that returned a receipt. */
export interface SealedChunk {
  /** The chunk as the commit names it. */
  readonly chunk: CommittedChunk;
  /**
   * Monotonic time before the request of the intent. The servers keep the uncommitted chunk until
   * `lifetimeMs` after this time at least.
   */
  readonly requestedAtMs: number;
  /** Lifetime of the intent. */
  readonly lifetimeMs: number;
  /** Whether the chunk has fewer replicas than the storage class wants. */
  readonly isUnderReplicated: boolean;
  /** Bytes sent over all attempts. */
  readonly sentBytes: number;
}

/** Chain of the next attempt. */
interface ChainRoute {
  readonly held: AcquiredIntent;
  /** Offset at which the chain continues, at a block boundary. */
  readonly resumeAtBytes: number;
  /** Address of the server that new servers copy the bytes before `resumeAtBytes` from. */
  readonly fillFrom: string | null;
}

/**
 * Writes one chunk through one or more write chains.
 *
 * The caller pushes frames with `push`, then calls `end`. `sealed` resolves when the chunk is
 * durable. A broken chain is replaced: the surviving servers keep their bytes, new servers copy
 * these bytes from a survivor, and the unacknowledged frames are sent again.
 */
export class ChunkWriter {
  /**
   * Resolves when the chunk is durable on all servers of a chain.
   *
   * Rejects with an AshlarError: WRITE_CHAIN_FAILED, TOO_FEW_CHUNKSERVERS, CANCELLED,
   * DEADLINE_EXCEEDED, or an error of the call that allocates the chunk.
   */
  readonly sealed: Promise<SealedChunk>;
  readonly #options: ChunkWriterOptions;
  readonly #buffer: ChunkBuffer;
  readonly #notifier = new Notifier();
  readonly #writeId: string;
  #chunkId: ChunkId | null = null;
  #error: unknown = null;
  #wireBytes = 0;
  #reportedBytes = 0;
  /** Whether a chain was ready. */
  #hasOpened = false;

  constructor(options: ChunkWriterOptions) {
    this.#options = options;
    this.#buffer = new ChunkBuffer(options.capacityBytes);
    this.#writeId = toHex(options.env.random.bytes(16));
    this.sealed = this.#run();
    // Wakes a `push` that waits for acknowledgements.
    this.sealed.catch(() => this.#notifier.notify());
  }

  /** Bytes pushed so far. */
  get lengthBytes(): number {
    return this.#buffer.lengthBytes;
  }

  /**
   * Appends the next frame and takes ownership of its slab. Resolves when the buffer has room for
   * another frame, and a chain is ready: writes that wait for servers hold one frame each.
   *
   * @throws the error that `sealed` rejects with.
   */
  async push(frame: ChunkFrame): Promise<void> {
    if (this.#error !== null) {
      frame.slab?.release();
      throw this.#error;
    }
    this.#buffer.push(frame);
    this.#notifier.notify();
    while (!this.#isOpen || this.#buffer.unackedBytes > UNACKED_BYTES_MAX) {
      if (this.#error !== null) throw this.#error;
      await this.#notifier.wait();
    }
  }

  /** Whether more than the first frame may be held. A small chunk has one frame. */
  get #isOpen(): boolean {
    const { sizeHintBytes } = this.#options;
    return this.#hasOpened || (sizeHintBytes !== null && sizeHintBytes <= EARLY_BYTES_MAX);
  }

  /** Marks the last frame as pushed. The chunk is sealed when all frames are acknowledged. */
  end(): void {
    assert(this.#buffer.lengthBytes > 0, "the length of a chunk is at least 1 byte");
    this.#buffer.end();
    this.#notifier.notify();
  }

  async #run(): Promise<SealedChunk> {
    const { intents, chunksLeft } = this.#options;
    try {
      const held = await intents.next(chunksLeft);
      let route: ChainRoute = { held, resumeAtBytes: 0, fillFrom: null };
      let failedCount = 0;
      let isBusy = false;
      for (let attempt = 1; ; attempt += 1) {
        const result = await this.#attempt(route, isBusy);
        if (result.kind === "sealed") return this.#sealedChunkOf(route.held, result);
        this.#options.deadline.check();
        // Servers that have other work are waited for until the deadline.
        isBusy = isAshlarError(result.error, "OVERLOADED");
        if (!isBusy) failedCount += 1;
        if (failedCount === ATTEMPTS_MAX) throw this.#chainFailed(route.held.intent, result.error);
        await this.#pause(attempt, result.error);
        if (isBusy) await this.#moreToSend();
        route = await this.#reroute(route, result);
      }
    } catch (error) {
      // Set before the buffer is cleared: `push` then releases later frames instead of buffering
      // them.
      this.#error = error;
      throw error;
    } finally {
      this.#buffer.clear();
    }
  }

  async #attempt(route: ChainRoute, isBusy: boolean): Promise<AttemptResult> {
    const { env, chunkservers, deadline, sizeHintBytes } = this.#options;
    const attempt = new WriteAttempt({
      chunkservers,
      clock: env.clock,
      deadline,
      buffer: this.#buffer,
      notifier: this.#notifier,
      writeId: this.#writeId,
      intent: route.held.intent,
      sizeHintBytes,
      resumeAtBytes: route.resumeAtBytes,
      fillFrom: route.fillFrom,
      maySendEarly: !isBusy,
      sealBeforeMs: route.held.requestedAtMs + route.held.intent.lifetimeMs / 2,
      chunkId: () => this.#id(),
      onOpened: () => {
        this.#hasOpened = true; // `WriteAttempt` then notifies.
      },
      onAcked: () => this.#reportAcked(),
    });
    const result = await attempt.run();
    this.#wireBytes += attempt.wireBytes;
    return result;
  }

  #id(): ChunkId {
    const { lengthBytes, blockHashes } = this.#buffer;
    this.#chunkId ??= chunkIdOf(this.#options.env.hasher, lengthBytes, blockHashes);
    return this.#chunkId;
  }

  #reportAcked(): void {
    const moreBytes = this.#buffer.ackedBytes - this.#reportedBytes;
    if (moreBytes === 0) return;
    this.#reportedBytes = this.#buffer.ackedBytes;
    this.#options.onAcked(moreBytes);
  }

  #sealedChunkOf(held: AcquiredIntent, result: AttemptResult & { kind: "sealed" }): SealedChunk {
    const { chunkservers } = this.#options;
    for (const { serverId } of result.receipts) chunkservers.health.recordSuccess(serverId);
    this.#buffer.ack(this.#buffer.lengthBytes);
    this.#reportAcked();
    return {
      chunk: {
        id: present(this.#chunkId, "a sealed chunk has an id"),
        lengthBytes: this.#buffer.lengthBytes,
        intentIndex: held.intent.issuedIndex,
        receipts: [...result.receipts],
      },
      requestedAtMs: held.requestedAtMs,
      lifetimeMs: held.intent.lifetimeMs,
      isUnderReplicated: result.receipts.length < held.copiesWanted,
      sentBytes: this.#wireBytes,
    };
  }

  /** Resolves when there are bytes to send, or the chunk is complete. */
  async #moreToSend(): Promise<void> {
    const { deadline } = this.#options;
    const unlisten = listenToAbort(deadline.signal, () => this.#notifier.notify());
    try {
      while (!this.#buffer.isEnded && this.#buffer.unackedBytes === 0) {
        deadline.check();
        await this.#notifier.wait();
      }
    } finally {
      unlisten();
    }
  }

  async #pause(attempt: number, error: AshlarError): Promise<void> {
    const { env, deadline, onRetry } = this.#options;
    const delayMs = nextDelayMs(attempt, CHUNK_RETRY, env.random.fraction());
    onRetry({ operation: "chunk write", attempt, delayMs, error });
    await env.clock.sleep(delayMs, deadline.signal);
  }

  /**
   * Allocates another chain for the rest of the chunk. The chain keeps the usable servers of the
   * previous chain.
   */
  async #reroute(
    route: ChainRoute,
    result: AttemptResult & { kind: "broken" },
  ): Promise<ChainRoute> {
    const { env, chunkservers, deadline, intents } = this.#options;
    const plan = await findResume(
      { clock: env.clock, signal: deadline.signal, ask: (server) => this.#receivedBytes(server) },
      {
        servers: route.held.intent.servers,
        blamed: result.blamed,
        isStalled: isAshlarError(result.error, "DEADLINE_EXCEEDED"),
        firstKeptBytes: this.#buffer.firstKeptBytes,
        lengthBytes: this.#buffer.lengthBytes,
      },
    );
    if (plan.kind === "lost") throw this.#chainFailed(route.held.intent, result.error);
    for (const serverId of plan.exclude) chunkservers.recordFailure(serverId);
    const held = await intents.replace(plan.keep, plan.exclude);
    return { held, resumeAtBytes: plan.resumeAtBytes, fillFrom: plan.fillFrom };
  }

  /** Returns the bytes of the partial chunk on a server. @throws {AshlarError} CHUNK_NOT_FOUND; see `call` */
  async #receivedBytes(server: ServerAddress): Promise<number> {
    const { chunkservers, deadline } = this.#options;
    const request = { writeId: this.#writeId };
    const options = { deadline, timeoutMs: STAT_TIMEOUT_MS };
    return (await chunkservers.call(server, statPartial, request, options)).receivedBytes;
  }

  #chainFailed(intent: Intent, cause: AshlarError): AshlarError {
    const servers = intent.servers.map((server) => server.address);
    return new AshlarError(
      "WRITE_CHAIN_FAILED",
      `Cannot write a chunk to ${servers.join(", ")}: ${cause.message}`,
      { cause, details: { servers, code: cause.code } },
    );
  }
}
