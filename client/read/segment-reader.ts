import { assert } from "../../shared/base/assert.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES, type ServerId } from "../../shared/base/ids.ts";
import { nextDelayMs } from "../../shared/flow/retry.ts";
import type { ClientDeps } from "../client-deps.ts";
import type { Deadline } from "../deadline.ts";
import type { Slab } from "../results.ts";
import type { ChunkLocation, ChunkMap, Replica } from "./chunk-map.ts";
import { countVerifiedBytes } from "./manifest-cache.ts";
import { type FrameOutcome, ReadAttempt, type UnverifiedFrame } from "./read-attempt.ts";
import { reportCorruptReplica } from "./report-corrupt.ts";

/** Timeout for the next frame of a replica in the first round. Doubles with each round. */
const SILENCE_TIMEOUT_MS = 5_000;
/** Rounds over all replicas. */
const ROUNDS_MAX = 4;
const RETRY = { delayMsMin: 200, delayMsMax: 3_000 } as const;

type WaitResult = FrameOutcome | { readonly kind: "silence" };

/** Dependencies and parameters of a `SegmentReader`. */
export interface SegmentReaderOptions {
  readonly deps: ClientDeps;
  readonly deadline: Deadline;
  readonly map: ChunkMap;
  readonly chunk: ChunkLocation;
  /** Offset of the chunk in the file. */
  readonly chunkStartBytes: number;
  /** The bytes to read, as offsets in the file. They are within the chunk. */
  readonly startBytes: number;
  readonly endBytes: number;
}

/**
 * Reads and verifies a part of a chunk from any of its replicas.
 *
 * The constructor sends the request, so that the bytes arrive while earlier segments are consumed.
 * If a replica fails, is slow or sends corrupt bytes, the rest is read from another replica.
 */
export class SegmentReader {
  readonly #options: SegmentReaderOptions;
  readonly #endBlockBytes: number;
  #chunk: ChunkLocation;
  /** Offset in the chunk of the next bytes to return: a block boundary, or the end of the chunk. */
  #offsetBytes: number;
  /** Pending requests: one, or two after a hedge. */
  #attempts: ReadAttempt[] = [];
  /** Errors of the replicas that failed in this round. */
  readonly #errors = new Map<ServerId, { readonly server: Replica; readonly error: AshlarError }>();
  #round = 1;
  /** Bytes that were not returned yet. */
  #remainingBytes: number;

  constructor(options: SegmentReaderOptions) {
    const { chunk, chunkStartBytes, startBytes, endBytes } = options;
    assert(startBytes >= chunkStartBytes && startBytes < endBytes, "a segment is not empty");
    assert(endBytes <= chunkStartBytes + chunk.lengthBytes, "a segment is within its chunk");
    this.#options = options;
    this.#chunk = chunk;
    const first = startBytes - chunkStartBytes;
    const last = endBytes - chunkStartBytes;
    this.#offsetBytes = first - (first % BLOCK_BYTES);
    this.#endBlockBytes = Math.min(chunk.lengthBytes, Math.ceil(last / BLOCK_BYTES) * BLOCK_BYTES);
    this.#remainingBytes = endBytes - startBytes;
    this.#openNext();
  }

  /** Bytes that were not returned yet. */
  get remainingBytes(): number {
    return this.#remainingBytes;
  }

  /**
   * Returns the next verified bytes in order, or null after the last.
   *
   * @throws {AshlarError} NO_GOOD_REPLICA with the error of each replica; CANCELLED,
   *   DEADLINE_EXCEEDED.
   */
  async next(): Promise<Slab | null> {
    while (this.#remainingBytes > 0) {
      const { attempt, frame } = await this.#nextFrame();
      const verifiedBytes = this.#verify(attempt, frame);
      if (verifiedBytes > 0) return this.#toSlab(frame, verifiedBytes);
      frame.release();
    }
    this.cancel();
    return null;
  }

  /**
   * Returns the number of correct bytes at the start of a frame. If the operation has ended, it throws the
   * reason, and releases the frame.
   */
  #verify(attempt: ReadAttempt, frame: UnverifiedFrame): number {
    const { manifest, offsetBytes, bytes } = frame;
    try {
      const { hasher } = this.#options.deps.env;
      const verifiedBytes = countVerifiedBytes(hasher, manifest, offsetBytes, bytes);
      if (verifiedBytes < bytes.length) this.#markCorrupt(attempt, offsetBytes + verifiedBytes);
      return verifiedBytes;
    } catch (error) {
      frame.release();
      throw error;
    }
  }

  /** Cancels all pending requests. */
  cancel(): void {
    for (const attempt of this.#attempts) attempt.cancel();
    this.#attempts = [];
  }

  /** Returns the verified part of a frame that is within the segment, and advances the offset. */
  #toSlab(frame: UnverifiedFrame, verifiedBytes: number): Slab {
    const { chunkStartBytes, startBytes, endBytes } = this.#options;
    const frameStart = chunkStartBytes + frame.offsetBytes;
    const from = Math.max(startBytes, frameStart);
    const to = Math.min(endBytes, frameStart + verifiedBytes);
    assert(from < to, "every frame overlaps the segment");
    this.#offsetBytes = frame.offsetBytes + verifiedBytes;
    this.#remainingBytes -= to - from;
    const bytes = frame.bytes.subarray(from - frameStart, to - frameStart);
    return { bytes, positionBytes: from, release: () => frame.release() };
  }

  async #nextFrame(): Promise<Extract<FrameOutcome, { kind: "frame" }>> {
    let mayHedge = true;
    for (;;) {
      this.#options.deadline.check();
      if (this.#attempts.length === 0 && !this.#openNext()) await this.#nextRound();
      mayHedge &&= this.#candidates().length > 0;
      const outcome = await this.#wait(mayHedge);
      if (outcome.kind === "silence") {
        if (mayHedge) this.#hedge();
        else this.#failSilentAttempts();
        mayHedge = false;
        continue;
      }
      outcome.attempt.consumeOutcome();
      if (outcome.kind === "frame") {
        this.#cancelOthers(outcome.attempt);
        return outcome;
      }
      this.#recordFailure(outcome.attempt, outcome.error);
    }
  }

  /** Resolves with the first outcome of a pending request, or with `silence` after a timeout. */
  #wait(mayHedge: boolean): Promise<WaitResult> {
    const { env, chunkservers } = this.#options.deps;
    const { clock } = env;
    const [first] = this.#attempts;
    assert(first !== undefined, "at least one request is pending");
    const limitMs = mayHedge
      ? chunkservers.health.hedgeAfterMs(first.server.serverId)
      : SILENCE_TIMEOUT_MS * 2 ** (this.#round - 1);
    return new Promise((resolve, reject) => {
      const timer = clock.after(limitMs, () => resolve({ kind: "silence" }));
      for (const attempt of this.#attempts) {
        attempt.next().then((outcome) => {
          timer.cancel();
          resolve(outcome);
        }, reject);
      }
    });
  }

  /** Asks a second replica if the hedge credit allows it. The credit limits the additional load. */
  #hedge(): void {
    if (this.#options.deps.chunkservers.health.tryAcquireHedge()) this.#openNext();
  }

  #failSilentAttempts(): void {
    for (const attempt of [...this.#attempts]) {
      const message = `No response from ${attempt.server.address} within the timeout`;
      this.#recordFailure(attempt, new AshlarError("DEADLINE_EXCEEDED", message));
    }
  }

  /** Cancels all requests but `winner`. */
  #cancelOthers(winner: ReadAttempt): void {
    for (const attempt of this.#attempts) if (attempt !== winner) attempt.cancel();
    this.#attempts = [winner];
  }

  #recordFailure(attempt: ReadAttempt, error: AshlarError): void {
    attempt.cancel();
    this.#attempts = this.#attempts.filter((each) => each !== attempt);
    this.#options.deadline.check(); // The end of the operation is not a fault of the server.
    const { server } = attempt;
    if (attempt.hasExpired && error.code === "DEADLINE_EXCEEDED") return;
    this.#errors.set(server.serverId, { server, error });
    if (isChunkError(error)) this.#chunk.badReplicas.add(server.serverId);
    else this.#options.deps.chunkservers.recordFailure(server.serverId);
    if (isAshlarError(error, "CHUNK_CORRUPT")) {
      reportCorruptReplica(this.#options.deps, server, this.#chunk.chunkId);
    }
    this.#options.deps.onRetry({
      operation: "chunk read",
      attempt: this.#round,
      delayMs: 0,
      error,
    });
  }

  #markCorrupt(attempt: ReadAttempt, offsetBytes: number): void {
    const { address } = attempt.server;
    const error = new AshlarError(
      "CHUNK_CORRUPT",
      `The block at ${offsetBytes} of chunk ${this.#chunk.chunkId} on ${address} does not match its hash`,
    );
    this.#recordFailure(attempt, error);
  }

  /** Returns the replicas that were not asked in this round, best first, known bad ones last. */
  #candidates(): Replica[] {
    const isAsked = (replica: Replica): boolean =>
      this.#errors.has(replica.serverId) ||
      this.#attempts.some((attempt) => attempt.server.serverId === replica.serverId);
    const open = this.#chunk.replicas.filter((replica) => !isAsked(replica));
    const ordered = this.#options.deps.chunkservers.orderByPreference(open);
    const isBad = (replica: Replica): boolean => this.#chunk.badReplicas.has(replica.serverId);
    return [...ordered.filter((each) => !isBad(each)), ...ordered.filter(isBad)];
  }

  #openNext(): boolean {
    const [server] = this.#candidates();
    if (server === undefined) return false;
    const { deps, deadline } = this.#options;
    const attempt = new ReadAttempt({
      deps,
      deadline,
      chunk: this.#chunk,
      server,
      startBytes: this.#offsetBytes,
      endBytes: this.#endBlockBytes,
    });
    this.#attempts.push(attempt);
    return true;
  }

  /** Starts another round after all replicas have failed: locates the chunk again, and waits. */
  async #nextRound(): Promise<void> {
    const { deps, deadline, map } = this.#options;
    const allReplicasBad = [...this.#errors.values()].every(({ error }) => isChunkError(error));
    const failure = this.#noGoodReplica();
    if (this.#round === ROUNDS_MAX) throw failure;
    const before = new Set(this.#chunk.replicas.map((replica) => replica.serverId));
    this.#chunk = await map.refresh(this.#chunk, deadline);
    const hasNew = this.#chunk.replicas.some((replica) => !before.has(replica.serverId));
    // All known replicas are corrupt or missing: waiting does not help.
    if (allReplicasBad && !hasNew && this.#round > 1) throw failure;
    const delayMs = nextDelayMs(this.#round, RETRY, deps.env.random.fraction());
    deps.onRetry({ operation: "chunk read", attempt: this.#round, delayMs, error: failure });
    await deps.env.clock.sleep(delayMs, deadline.signal);
    this.#round += 1;
    this.#errors.clear();
    if (!this.#openNext()) await this.#nextRound();
  }

  #noGoodReplica(): AshlarError {
    const replicas = [...this.#errors.values()].map(({ server, error }) => ({
      serverId: server.serverId,
      address: server.address,
      code: error.code,
      message: error.message,
    }));
    const list = replicas.map((each) => `${each.address}: ${each.message}`).join("; ");
    return new AshlarError(
      "NO_GOOD_REPLICA",
      `Cannot read chunk ${this.#chunk.chunkId}: ${list === "" ? "no server is known to have it" : list}`,
      { hint: "ashlar status", details: { chunkId: this.#chunk.chunkId, replicas } },
    );
  }
}

/**
 * Returns whether `error` is about the replica of this chunk rather than about the whole server.
 */
function isChunkError(error: AshlarError): boolean {
  return error.code === "CHUNK_CORRUPT" || error.code === "CHUNK_NOT_FOUND";
}
