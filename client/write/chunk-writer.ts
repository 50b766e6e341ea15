import { assert, present } from "../../shared/base/assert.ts";
import { toHex } from "../../shared/base/bytes.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { ChunkId, ServerId } from "../../shared/base/ids.ts";
import { nextDelayMs } from "../../shared/flow/retry.ts";
import type { Env } from "../../shared/ports/env.ts";
import { statPartial } from "../../shared/protocol/chunk-api.ts";
import { chunkIdOf } from "../../shared/protocol/chunk-id.ts";
import type { Intent } from "../../shared/protocol/intent.ts";
import type { CommittedChunk } from "../../shared/protocol/namespace-api.ts";
import type { Chunkservers } from "../chunkservers/chunkservers.ts";
import type { Deadline } from "../deadline.ts";
import type { RetryEvent } from "../options.ts";
import { ChunkBuffer, type ChunkFrame } from "./chunk-buffer.ts";
import type { AcquiredIntent, Intents } from "./intents.ts";
import { Notifier } from "./notifier.ts";
import { type ChainServer, findSlowest, planResume } from "./plan-resume.ts";
import { type AttemptResult, WriteAttempt } from "./write-attempt.ts";

/** Read and not yet acknowledged by a whole chain: what a broken chain costs to send again. */
const UNACKED_BYTES_MAX = 8 * 1024 * 1024;
const ATTEMPTS_MAX = 8;
const RETRY = { delayMsMin: 50, delayMsMax: 2_000 } as const;
const STAT_TIMEOUT_MS = 2_000;

export interface ChunkWriterOptions {
  readonly env: Env;
  readonly chunkservers: Chunkservers;
  readonly intents: Intents;
  readonly deadline: Deadline;
  readonly capacityBytes: number;
  /** The length of the chunk if it is known before it is read. */
  readonly sizeHintBytes: number | null;
  /** Chunks that the file still needs, with this one; null: unknown. */
  readonly chunksLeft: number | null;
  /** More bytes of the chunk are with a whole chain. */
  readonly onAcked: (moreBytes: number) => void;
  readonly onRetry: (event: RetryEvent) => void;
}

/** A chunk that is durable on every server that gave a receipt. */
export interface SealedChunk {
  readonly chunk: CommittedChunk;
  /** Monotonic time before which its intent was given: the chunk is kept for a lifetime from then. */
  readonly requestedAtMs: number;
  readonly lifetimeMs: number;
  readonly isUnderReplicated: boolean;
  readonly sentBytes: number;
}

/** Where the next attempt goes. */
interface ChainRoute {
  readonly held: AcquiredIntent;
  readonly resumeAtBytes: number;
  readonly fillFrom: string | null;
}

/**
 * Writes one chunk, with whatever chains it takes.
 *
 * Frames go in by `push`, then `end`; `sealed` resolves when the chunk is durable. A chain that
 * breaks is replaced: the survivors keep what they have, newcomers are filled up by one of them,
 * and what was not acknowledged is sent again.
 */
export class ChunkWriter {
  readonly sealed: Promise<SealedChunk>;
  readonly #options: ChunkWriterOptions;
  readonly #buffer: ChunkBuffer;
  readonly #notifier = new Notifier();
  readonly #writeId: string;
  #chunkId: ChunkId | null = null;
  #error: unknown = null;
  #wireBytes = 0;
  #reportedBytes = 0;

  constructor(options: ChunkWriterOptions) {
    this.#options = options;
    this.#buffer = new ChunkBuffer(options.capacityBytes);
    this.#writeId = toHex(options.env.random.bytes(16));
    this.sealed = this.#run();
    // `push` may be waiting for acknowledgements.
    this.sealed.catch(() => this.#notifier.notify());
  }

  get lengthBytes(): number {
    return this.#buffer.lengthBytes;
  }

  /**
   * The next frame; its slab is the writer's from here on. Resolves when there is room for another
   * one.
   *
   * @throws what `sealed` rejects with.
   */
  async push(frame: ChunkFrame): Promise<void> {
    if (this.#error !== null) {
      frame.slab?.release();
      throw this.#error;
    }
    this.#buffer.push(frame);
    this.#notifier.notify();
    while (this.#buffer.unackedBytes > UNACKED_BYTES_MAX) {
      if (this.#error !== null) throw this.#error;
      await this.#notifier.wait();
    }
  }

  /** No frame follows: the chunk is sealed once all are acknowledged. */
  end(): void {
    assert(this.#buffer.lengthBytes > 0, "a chunk has at least 1 byte");
    this.#buffer.end();
    this.#notifier.notify();
  }

  async #run(): Promise<SealedChunk> {
    const { intents, chunksLeft } = this.#options;
    try {
      const held = await intents.next(chunksLeft);
      let route: ChainRoute = { held, resumeAtBytes: 0, fillFrom: null };
      for (let attempt = 1; ; attempt += 1) {
        const result = await this.#attempt(route);
        if (result.kind === "sealed") return this.#finished(route.held, result);
        this.#options.deadline.check();
        if (attempt === ATTEMPTS_MAX) throw this.#chainFailed(route.held.intent, result.error);
        await this.#pause(attempt, result.error);
        route = await this.#reroute(route, result);
      }
    } catch (error) {
      this.#error = error; // At once: a frame that came after the buffer was cleared would stay there.
      throw error;
    } finally {
      this.#buffer.clear();
    }
  }

  async #attempt(route: ChainRoute): Promise<AttemptResult> {
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
      sealBeforeMs: route.held.requestedAtMs + route.held.intent.lifetimeMs / 2,
      chunkId: () => this.#id(),
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

  #finished(held: AcquiredIntent, result: AttemptResult & { kind: "sealed" }): SealedChunk {
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

  async #pause(attempt: number, error: AshlarError): Promise<void> {
    const { env, deadline, onRetry } = this.#options;
    const delayMs = nextDelayMs(attempt, RETRY, env.random.fraction());
    onRetry({ operation: "chunk write", attempt, delayMs, error });
    await env.clock.sleep(delayMs, deadline.signal);
  }

  /** Another chain for what is left, with those servers of the old one that can go on. */
  async #reroute(
    route: ChainRoute,
    result: AttemptResult & { kind: "broken" },
  ): Promise<ChainRoute> {
    const { chunkservers, intents } = this.#options;
    const servers = await this.#queryServers(route.held.intent, result.blamed);
    const isSilent = isAshlarError(result.error, "DEADLINE_EXCEEDED");
    const blamed = result.blamed ?? (isSilent ? findSlowest(servers) : null);
    const plan = planResume({
      servers,
      blamed,
      firstKeptBytes: this.#buffer.firstKeptBytes,
      lengthBytes: this.#buffer.lengthBytes,
    });
    if (plan.kind === "lost") throw this.#chainFailed(route.held.intent, result.error);
    for (const serverId of plan.exclude) chunkservers.recordFailure(serverId);
    const held = await intents.replace(plan.keep, plan.exclude);
    return { held, resumeAtBytes: plan.resumeAtBytes, fillFrom: plan.fillFrom };
  }

  #queryServers(intent: Intent, blamed: ServerId | null): Promise<ChainServer[]> {
    const { chunkservers, deadline } = this.#options;
    return Promise.all(
      intent.servers.map(async ({ serverId, address }) => {
        if (serverId === blamed) return { serverId, address, receivedBytes: null };
        try {
          const { receivedBytes } = await chunkservers.call(
            { serverId, address },
            statPartial,
            { writeId: this.#writeId },
            { deadline, timeoutMs: STAT_TIMEOUT_MS },
          );
          return { serverId, address, receivedBytes };
        } catch (error) {
          // It is there and knows nothing of the write: it can be in the next chain.
          const receivedBytes = isAshlarError(error, "CHUNK_NOT_FOUND") ? 0 : null;
          return { serverId, address, receivedBytes };
        }
      }),
    );
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
