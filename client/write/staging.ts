import { toHex } from "../../shared/base/bytes.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { StagingId } from "../../shared/base/ids.ts";
import type { CommittedChunk, Operation, Target } from "../../shared/protocol/namespace-api.ts";
import type { ClientDeps } from "../client-deps.ts";
import type { Deadline } from "../deadline.ts";
import type { SealedChunk } from "./chunk-writer.ts";

const ID_BYTES = 16;
/** Bounds of the check interval, which is a tenth of the lifetime of an intent. */
const CHECK_INTERVAL_MS_MIN = 100;
const CHECK_INTERVAL_MS_MAX = 10_000;
/**
 * Most chunks of one `stage`, and of a commit that lists the chunks of a file. A new chunk costs about 48 units of
 * work with three replicas and 97 with nine, the most of a storage class. The masters refuse a transaction of more
 * than 20,000 (docs/operations.md, "Limits").
 */
export const CHUNKS_PER_CALL_MAX = 128;

/** Default of `sessionIdleMsMax`: afterwards the session of a silent client has expired. */
const DISCARD_MS_MAX = 10 * 60_000;
const DISCARD_INTERVAL_MS = 1_000;

/** Dependencies and parameters of a `Staging`. */
export interface StagingOptions {
  readonly deps: ClientDeps;
  readonly deadline: Deadline;
  /** The file that is written. */
  readonly target: Target;
  readonly chunkSizeBytes: number;
  readonly storageClass: string | undefined;
}

/**
 * The unfinished uploads of one write: chunks that the masters keep for the session, without a directory entry
 * (docs/decisions/0012). If the client is killed, they end with its session.
 *
 * - The *protecting* upload has sealed chunks in the order of their seals. Chunkservers drop a sealed chunk when its
 *   intent expires before a commit names the chunk, so a long write stages its chunks. The commit that publishes
 *   the file unstages them in the same log entry.
 * - An *ordered* upload has all chunks of a large file in file order. The operation `publish` makes it the content of
 *   the file. A write that is repeated, or that commits a list instead, leaves it to `discard`.
 */
export class Staging {
  readonly #options: StagingOptions;
  readonly #id: StagingId;
  readonly #stopped = new AbortController();
  #protecting: Promise<void> = Promise.resolve();
  /** Ordered uploads that may exist: `stageInOrder` adds one, `takenOver` removes it. */
  readonly #orderedIds = new Set<StagingId>();
  /** Whether a `stage` of the protecting upload got no answer, so that it may have been committed. */
  #isUncertain = false;
  /** Sealed chunks that the upload does not have yet. */
  #unstaged: SealedChunk[] = [];
  /** Number of chunks that the upload has. */
  #stagedCount = 0;
  /** Chunks of acknowledged commits, in order. Later commits need no receipts for them. */
  readonly #protected = new Set<SealedChunk>();

  constructor(options: StagingOptions) {
    this.#options = options;
    this.#id = toHex(options.deps.env.random.bytes(ID_BYTES)) as StagingId;
  }

  /** Adds a sealed chunk to protect. */
  addSealed(sealed: SealedChunk): void {
    // A short chunk is the last of the file: the commit of the file follows immediately.
    if (sealed.chunk.lengthBytes === this.#options.chunkSizeBytes) this.#unstaged.push(sealed);
  }

  /** Starts to protect chunks, until `stop`. */
  start(): void {
    this.#protecting = this.#protectAging();
  }

  /** Stops. Resolves when no commit is pending. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#protecting;
  }

  /**
   * Stages all chunks of a file of many chunks again, in file order, after `stop`: the masters publish such an
   * upload without a list of its chunks.
   *
   * @returns the id of the upload. Null for a file of few chunks
   * @throws {AshlarError} the errors of `stage`
   */
  async stageInOrder(sealed: readonly SealedChunk[]): Promise<StagingId | null> {
    if (sealed.length <= CHUNKS_PER_CALL_MAX) return null;
    const { deps } = this.#options;
    const id = toHex(deps.env.random.bytes(ID_BYTES)) as StagingId;
    this.#orderedIds.add(id);
    try {
      for (let position = 0; position < sealed.length; position += CHUNKS_PER_CALL_MAX) {
        const chunks = sealed.slice(position, position + CHUNKS_PER_CALL_MAX);
        await this.#stage({ id, position, chunks });
      }
    } catch (error) {
      // Masters that do not support `stage` refuse `unstage` too.
      if (isNotSupported(error)) this.#orderedIds.delete(id);
      throw isAshlarError(error, "CHUNKS_MISSING") ? uploadLost(error) : error;
    }
    return id;
  }

  /** Returns a chunk as the commit of the file must name it: a staged one needs no receipts. */
  committedForm(sealed: SealedChunk): CommittedChunk {
    if (!this.#protected.has(sealed)) return sealed.chunk;
    return { ...sealed.chunk, intentIndex: 0 as CommittedChunk["intentIndex"], receipts: [] };
  }

  /**
   * Operations that unstage the chunks, for the commit that publishes the file. None if no `stage`
   * was acknowledged: masters of a low feature level would refuse the commit.
   */
  get removals(): readonly Operation[] {
    return this.#protected.size === 0 ? [] : [unstage(this.#id)];
  }

  /** Notes that a commit has made the ordered upload `id` the content of the file. */
  takenOver(id: StagingId): void {
    this.#orderedIds.delete(id);
  }

  /**
   * Unstages what the write may have left. Retries while no master answers: a gateway keeps its
   * session for months. The rest ends with the session.
   *
   * @param isPublished whether a commit with `removals` was acknowledged
   */
  async discard(isPublished: boolean): Promise<void> {
    const isProtectingLeft = this.#isUncertain || (!isPublished && this.#protected.size > 0);
    const ids = [...(isProtectingLeft ? [this.#id] : []), ...this.#orderedIds];
    if (ids.length === 0) return;
    const { masters, env, closing: signal } = this.#options.deps;
    const transaction = { preconditions: [], operations: ids.map(unstage) };
    const endMs = env.clock.monotonicMs() + DISCARD_MS_MAX;
    for (;;) {
      try {
        await masters.transact(transaction, { signal });
        return;
      } catch (error) {
        const isFinal = !isAshlarError(error) || error.retry === "never";
        if (isFinal || env.clock.monotonicMs() >= endMs) throw error;
        await env.clock.sleep(DISCARD_INTERVAL_MS, signal);
      }
    }
  }

  async #protectAging(): Promise<void> {
    const { env } = this.#options.deps;
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      try {
        await env.clock.sleep(this.#intervalMs(), signal);
        if (this.#isOld()) while (this.#unstaged.length > 0) await this.#stageNext();
      } catch (error) {
        if (signal.aborted) return;
        // The next check retries: two thirds of the lifetime are left at the first attempt.
        env.log.warn("Cannot stage the sealed chunks of a long write", { error });
      }
    }
  }

  #intervalMs(): number {
    const lifetimeMs = this.#unstaged[0]?.lifetimeMs ?? 10 * CHECK_INTERVAL_MS_MIN;
    return Math.max(CHECK_INTERVAL_MS_MIN, Math.min(CHECK_INTERVAL_MS_MAX, lifetimeMs / 10));
  }

  /** Returns whether the age of a chunk exceeds a third of its lifetime. */
  #isOld(): boolean {
    const nowMs = this.#options.deps.env.clock.monotonicMs();
    return this.#unstaged.some((each) => nowMs - each.requestedAtMs > each.lifetimeMs / 3);
  }

  async #stageNext(): Promise<void> {
    const chunks = this.#unstaged.slice(0, CHUNKS_PER_CALL_MAX);
    try {
      await this.#stage({ id: this.#id, position: this.#stagedCount, chunks });
    } catch (error) {
      if (isAshlarError(error) && error.retry === "idempotent-only") this.#isUncertain = true;
      if (isAshlarError(error, "CHUNKS_MISSING")) this.#options.deadline.abort(uploadLost(error));
      if (!isAshlarError(error, "PRECONDITION_FAILED") || this.#stagedCount === 0) throw error;
      // The client has opened another session. Its upload gets the chunks of the old one, which the
      // masters keep until the old session expires.
      this.#unstaged = [...this.#protected, ...this.#unstaged];
      this.#stagedCount = 0;
      return;
    }
    this.#unstaged = this.#unstaged.slice(chunks.length);
    this.#stagedCount += chunks.length;
    for (const each of chunks) this.#protected.add(each);
  }

  async #stage(upload: {
    readonly id: StagingId;
    readonly position: number;
    readonly chunks: readonly SealedChunk[];
  }): Promise<void> {
    const { deps, deadline, target, storageClass } = this.#options;
    const operation: Operation = {
      kind: "stage",
      id: upload.id,
      target,
      position: upload.position,
      chunks: upload.chunks.map((each) => this.committedForm(each)),
      ...(storageClass === undefined ? {} : { storageClass }),
    };
    await deps.masters.transact(
      { preconditions: [], operations: [operation] },
      { signal: deadline.signal, timeoutMs: deadline.remainingMs(deps.timeoutMs) },
    );
  }
}

const unstage = (id: StagingId): Operation => ({ kind: "unstage", id });

/** Whether masters do not support an operation yet: `stage` below feature level 3, `publish` below 11. */
export const isNotSupported = (error: unknown): boolean =>
  isAshlarError(error, "VERSION_MISMATCH") || isAshlarError(error, "PROTOCOL_ERROR");

/** Returns the error of a write whose staged chunks are gone. */
export function uploadLost(cause: AshlarError): AshlarError {
  return new AshlarError(
    "SESSION_EXPIRED",
    "Cannot write the file: expected the chunks that were sent before: the session of the upload has expired",
    { cause, hint: "Write the file again" },
  );
}
