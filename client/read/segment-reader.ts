import { assert } from "../../shared/base/assert.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES, type ServerId } from "../../shared/base/ids.ts";
import { nextDelayMs } from "../../shared/flow/retry.ts";
import type { ClientDeps } from "../client-deps.ts";
import type { Deadline } from "../deadline.ts";
import type { Slab } from "../results.ts";
import type { ChunkLocation, ChunkMap, Replica } from "./chunk-map.ts";
import { verifiedBytes } from "./manifest-cache.ts";
import { type FrameOutcome, ReadAttempt, type UnverifiedFrame } from "./read-attempt.ts";
import { reportCorruptReplica } from "./report-corrupt.ts";

/** A replica that is silent for so long while somebody waits is given up; longer in later rounds. */
const SILENCE_TIMEOUT_MS = 5_000;
/** How often all replicas are tried. */
const ROUNDS_MAX = 4;
const RETRY = { delayMsMin: 200, delayMsMax: 3_000 } as const;

type WaitResult = FrameOutcome | { readonly kind: "silence" };

export interface SegmentReaderOptions {
  readonly deps: ClientDeps;
  readonly deadline: Deadline;
  readonly map: ChunkMap;
  readonly chunk: ChunkLocation;
  /** Where the chunk begins in the file. */
  readonly chunkStartBytes: number;
  /** The bytes that are wanted, in the file; within the chunk. */
  readonly startBytes: number;
  readonly endBytes: number;
}

/**
 * Reads a part of a chunk from whichever replica has it, verified.
 *
 * The request goes out when it is made, so that the bytes come while others are consumed. A
 * replica that fails, is slow or sends bytes that do not match is left, and another one goes on
 * with the rest.
 */
export class SegmentReader {
  readonly #options: SegmentReaderOptions;
  readonly #endBlockBytes: number;
  #chunk: ChunkLocation;
  /** In the chunk: what was given out ends here. A block boundary, or the end. */
  #offsetBytes: number;
  #attempts: ReadAttempt[] = [];
  /** Why each replica of this round failed. */
  readonly #errors = new Map<ServerId, { readonly server: Replica; readonly error: AshlarError }>();
  #round = 1;
  /** Bytes that were not given out yet. */
  #remainingBytes: number;

  constructor(options: SegmentReaderOptions) {
    const { chunk, chunkStartBytes, startBytes, endBytes } = options;
    assert(startBytes >= chunkStartBytes && startBytes < endBytes, "a segment has bytes");
    assert(endBytes <= chunkStartBytes + chunk.lengthBytes, "a segment lies in its chunk");
    this.#options = options;
    this.#chunk = chunk;
    const first = startBytes - chunkStartBytes;
    const last = endBytes - chunkStartBytes;
    this.#offsetBytes = first - (first % BLOCK_BYTES);
    this.#endBlockBytes = Math.min(chunk.lengthBytes, Math.ceil(last / BLOCK_BYTES) * BLOCK_BYTES);
    this.#remainingBytes = endBytes - startBytes;
    this.#openNext();
  }

  get remainingBytes(): number {
    return this.#remainingBytes;
  }

  /**
   * The next verified bytes, in order; null after the last.
   *
   * @throws {AshlarError} NO_GOOD_REPLICA naming each replica and its error; CANCELLED,
   *   DEADLINE_EXCEEDED.
   */
  async next(): Promise<Slab | null> {
    while (this.#remainingBytes > 0) {
      const { attempt, frame } = await this.#nextFrame();
      const { hasher } = this.#options.deps.env;
      const provedBytes = verifiedBytes(hasher, frame.manifest, frame.offsetBytes, frame.bytes);
      if (provedBytes < frame.bytes.length)
        this.#markCorrupt(attempt, frame.offsetBytes + provedBytes);
      if (provedBytes > 0) return this.#toSlab(frame, provedBytes);
      frame.release();
    }
    this.cancel();
    return null;
  }

  /** Gives up what was not read. */
  cancel(): void {
    for (const attempt of this.#attempts) attempt.cancel();
    this.#attempts = [];
  }

  #toSlab(frame: UnverifiedFrame, provedBytes: number): Slab {
    const { chunkStartBytes, startBytes, endBytes } = this.#options;
    const frameStart = chunkStartBytes + frame.offsetBytes;
    const from = Math.max(startBytes, frameStart);
    const to = Math.min(endBytes, frameStart + provedBytes);
    assert(from < to, "every frame has bytes that are wanted");
    this.#offsetBytes = frame.offsetBytes + provedBytes;
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
        this.#keepOnly(outcome.attempt);
        return outcome;
      }
      this.#recordFailure(outcome.attempt, outcome.error);
    }
  }

  /** The first outcome of any replica that was asked, or that none came in time. */
  #wait(mayHedge: boolean): Promise<WaitResult> {
    const { env, chunkservers } = this.#options.deps;
    const { clock } = env;
    const [first] = this.#attempts;
    assert(first !== undefined, "somebody was asked");
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

  /** Asks a second replica, unless hedges are used up: asking on would double the load. */
  #hedge(): void {
    if (this.#options.deps.chunkservers.health.tryAcquireHedge()) this.#openNext();
  }

  #failSilentAttempts(): void {
    for (const attempt of [...this.#attempts]) {
      const waited = `Nothing came from ${attempt.server.address} in time`;
      this.#recordFailure(attempt, new AshlarError("DEADLINE_EXCEEDED", waited));
    }
  }

  #keepOnly(winner: ReadAttempt): void {
    for (const attempt of this.#attempts) if (attempt !== winner) attempt.cancel();
    this.#attempts = [winner];
  }

  #recordFailure(attempt: ReadAttempt, error: AshlarError): void {
    attempt.cancel();
    this.#attempts = this.#attempts.filter((each) => each !== attempt);
    this.#options.deadline.check(); // Its end is not the server's fault.
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

  /** Replicas of this round that were not asked yet. */
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

  /** All replicas have failed: asks the masters for others, waits, and begins again. */
  async #nextRound(): Promise<void> {
    const { deps, deadline, map } = this.#options;
    const isHopeless = [...this.#errors.values()].every(({ error }) => isChunkError(error));
    const failure = this.#noGoodReplica();
    if (this.#round === ROUNDS_MAX) throw failure;
    const before = new Set(this.#chunk.replicas.map((replica) => replica.serverId));
    this.#chunk = await map.refresh(this.#chunk, deadline);
    const hasNew = this.#chunk.replicas.some((replica) => !before.has(replica.serverId));
    // Every replica was examined, and there is no other one.
    if (isHopeless && !hasNew && this.#round > 1) throw failure;
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

/** Whether `error` says something of this chunk there, rather than of the server. */
function isChunkError(error: AshlarError): boolean {
  return error.code === "CHUNK_CORRUPT" || error.code === "CHUNK_NOT_FOUND";
}
