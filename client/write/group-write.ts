import { present } from "../../shared/base/assert.ts";
import { AshlarError, fromErrorData, isAshlarError } from "../../shared/base/errors.ts";
import { DIGEST_BYTES, type Digest, type ServerId } from "../../shared/base/ids.ts";
import { nextDelayMs } from "../../shared/flow/retry.ts";
import type { Slab, SlabPool } from "../../shared/flow/slabs.ts";
import type { Env } from "../../shared/ports/env.ts";
import { WRITER_SEAL_TIMEOUT_MS } from "../../shared/protocol/chain-timeouts.ts";
import { putSmall } from "../../shared/protocol/chunk-api.ts";
import type { Background } from "../background.ts";
import type { Chunkservers } from "../chunkservers/chunkservers.ts";
import type { OldServers } from "../chunkservers/old-servers.ts";
import { asAshlarError, Deadline } from "../deadline.ts";
import type { MasterSession } from "../masters/master-session.ts";
import type { RetryEvent } from "../options.ts";
import type { AcquiredIntent } from "./allocate-intents.ts";
import { CHUNK_RETRY } from "./chunk-writer.ts";
import type { GatheredChunk } from "./gathered-chunk.ts";
import type { IntentPool } from "./intent-pool.ts";
import { isServerFault } from "./write-attempt.ts";

/** Failed calls after which the chunks are written one by one. */
const ATTEMPTS_MAX = 3;

/** Dependencies of the groups of a client. */
export interface GroupDeps {
  readonly env: Env;
  readonly masters: MasterSession;
  readonly chunkservers: Chunkservers;
  readonly background: Background;
  /** Aborts when the file system is closed. */
  readonly closing: AbortSignal;
  readonly hostName: string;
  /** Timeout of one call to the masters, in milliseconds. */
  readonly timeoutMs: number;
  /** Called before each retry. */
  readonly onRetry: (event: RetryEvent) => void;
  /** Memory of the bodies of calls. */
  readonly bodies: SlabPool;
  readonly oldServers: OldServers;
}

/** A call that was answered, or failed. */
type CallResult =
  | { readonly kind: "stored"; readonly receipts: readonly Uint8Array[] }
  /** `failedId`: the server that failed, null if it is not known. */
  | { readonly kind: "failed"; readonly failedId: ServerId | null; readonly error: AshlarError };

/** The chunks of a group and their bytes. */
interface Group {
  readonly chunks: readonly GatheredChunk[];
  readonly body: Uint8Array;
}

/**
 * Writes a group of chunks, with several attempts. Every chunk has a result when it resolves. Does not reject.
 *
 * The wait of each chunk ends by itself. The group ends early when no chunk waits.
 */
export async function writeGroup(
  deps: GroupDeps,
  intents: IntentPool,
  gathered: readonly GatheredChunk[],
): Promise<void> {
  using deadline = new Deadline(deps.env.clock, "write small chunks");
  deadline.follow(deps.closing);
  const onAbandoned = (): void => {
    if (gathered.some((chunk) => !chunk.isOver)) return;
    deadline.abort(new AshlarError("CANCELLED", "No writer waits for the chunks"));
  };
  for (const chunk of gathered) chunk.onAbandoned = onAbandoned;
  let slab: Slab | null = null;
  try {
    slab = await deps.bodies.acquire(sumOf(gathered), deadline.signal);
    const chunks = gathered.filter((chunk) => !chunk.isOver);
    const body = slab.bytes.subarray(0, sumOf(chunks));
    copyInto(body, chunks);
    await new GroupWrite({ deps, intents, deadline }, { chunks, body }).run();
  } catch (error) {
    for (const chunk of gathered) chunk.reject(error as Error);
  } finally {
    slab?.release();
  }
}

function sumOf(chunks: readonly GatheredChunk[]): number {
  return chunks.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
}

function copyInto(body: Uint8Array, chunks: readonly GatheredChunk[]): void {
  let offsetBytes = 0;
  for (const { bytes, lengthBytes } of chunks) {
    body.set(bytes, offsetBytes);
    offsetBytes += lengthBytes;
  }
}

interface GroupContext {
  readonly deps: GroupDeps;
  readonly intents: IntentPool;
  /** Ends the group. */
  readonly deadline: Deadline;
}

/** The attempts to write one group. */
class GroupWrite {
  readonly #context: GroupContext;
  readonly #group: Group;
  readonly #exclude = new Set<ServerId>();
  #sentCount = 0;
  /** The error of the last call. */
  #error: AshlarError | null = null;

  constructor(context: GroupContext, group: Group) {
    this.#context = context;
    this.#group = group;
  }

  /** @throws {AshlarError} the errors of an allocation; the reason of the deadline */
  async run(): Promise<void> {
    const { deps, intents, deadline } = this.#context;
    let failedCount = 0;
    for (let attempt = 1; failedCount < ATTEMPTS_MAX; attempt += 1) {
      if (attempt > 1) await this.#pause(attempt - 1);
      deadline.check();
      const held = await intents.next(this.#exclude, deadline);
      if (deps.oldServers.hasOneOf(held.intent.servers)) break;
      const result = await this.#attempt(held);
      if (result.kind === "stored") {
        this.#settle(held, result.receipts);
        return;
      }
      deadline.check();
      this.#error = result.error;
      if (isAshlarError(result.error, "UNSUPPORTED")) {
        if (result.failedId !== null) deps.oldServers.add(result.failedId);
        break;
      }
      // Servers that have other work are waited for until the writers stop waiting.
      if (!isAshlarError(result.error, "OVERLOADED")) failedCount += 1;
      this.#blame(result);
    }
    for (const chunk of this.#group.chunks) chunk.resolve(null);
  }

  async #attempt(held: AcquiredIntent): Promise<CallResult> {
    const { deps, deadline } = this.#context;
    const { chunks, body } = this.#group;
    const { intent } = held;
    const head = present(intent.servers[0], "an intent has at least one server");
    const { health } = deps.chunkservers;
    const request = {
      intent,
      position: 0,
      chunks: chunks.map(({ chunkId, lengthBytes, hashes }) => ({ chunkId, lengthBytes, hashes })),
    };
    health.recordStart(head.serverId);
    this.#sentCount += 1;
    try {
      const options = { deadline, timeoutMs: WRITER_SEAL_TIMEOUT_MS, body };
      const answer = await deps.chunkservers.call(head, putSmall, request, options);
      if (answer.kind === "stored") return this.#checked(held, answer.receipts);
      const error = fromErrorData(answer.error as Parameters<typeof fromErrorData>[0]);
      return { kind: "failed", failedId: answer.serverId, error };
    } catch (error) {
      const cause = asAshlarError(error, "write small chunks");
      return { kind: "failed", failedId: head.serverId, error: cause };
    } finally {
      health.recordEnd(head.serverId);
    }
  }

  /** @throws {AshlarError} PROTOCOL_ERROR unless each chunk has a receipt of each server */
  #checked({ intent }: AcquiredIntent, receipts: readonly Uint8Array[]): CallResult {
    const lengthBytes = intent.servers.length * DIGEST_BYTES;
    const isWhole =
      receipts.length === this.#group.chunks.length &&
      receipts.every(({ length }) => length === lengthBytes);
    if (isWhole) return { kind: "stored", receipts };
    throw new AshlarError(
      "PROTOCOL_ERROR",
      `Cannot accept stored chunks: expected receipts of ${intent.servers.length} servers for each of ${this.#group.chunks.length} chunks`,
    );
  }

  /** Excludes the server that has failed from the next attempts, unless it only has other work. */
  #blame({ failedId, error }: Extract<CallResult, { kind: "failed" }>): void {
    // Each server gives the next one less time than it has: the one that is named was silent.
    const isFault = isServerFault(error) || isAshlarError(error, "DEADLINE_EXCEEDED");
    if (failedId === null || !isFault) return;
    this.#context.deps.chunkservers.recordFailure(failedId);
    this.#exclude.add(failedId);
  }

  async #pause(attempt: number): Promise<void> {
    const { deps, deadline } = this.#context;
    const delayMs = nextDelayMs(attempt, CHUNK_RETRY, deps.env.random.fraction());
    const error = present(this.#error, "an attempt has failed before a pause");
    deps.onRetry({ operation: "chunk write", attempt, delayMs, error });
    await deps.env.clock.sleep(delayMs, deadline.signal);
  }

  #settle(held: AcquiredIntent, receipts: readonly Uint8Array[]): void {
    const { intent, requestedAtMs, copiesWanted } = held;
    const { health } = this.#context.deps.chunkservers;
    for (const { serverId } of intent.servers) health.recordSuccess(serverId);
    for (const [position, chunk] of this.#group.chunks.entries()) {
      const own = present(receipts[position], "each chunk has receipts");
      const { chunkId: id, lengthBytes } = chunk;
      chunk.resolve({
        chunk: {
          id,
          lengthBytes,
          intentIndex: intent.issuedIndex,
          receipts: intent.servers.map(({ serverId }, server) => {
            const start = server * DIGEST_BYTES;
            return { serverId, receipt: own.subarray(start, start + DIGEST_BYTES) as Digest };
          }),
        },
        requestedAtMs,
        lifetimeMs: intent.lifetimeMs,
        isUnderReplicated: intent.servers.length < copiesWanted,
        sentBytes: this.#sentCount * lengthBytes,
      });
    }
  }
}
