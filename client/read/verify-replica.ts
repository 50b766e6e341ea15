import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { Timer } from "../../shared/ports/clock.ts";
import type { ClientDeps } from "../client-deps.ts";
import type { Deadline } from "../deadline.ts";
import type { ChunkLocation, Replica } from "./chunk-map.ts";
import { countVerifiedBytes } from "./manifest-cache.ts";
import { type FrameOutcome, ReadAttempt } from "./read-attempt.ts";

/** Timeout for the next frame of a replica. */
const SILENCE_TIMEOUT_MS = 15_000;
/**
 * The silence timeout is waited for in this many steps. A stall of this process ends one step only
 * and is not mistaken for silence of the server.
 */
const SILENCE_STEPS = 3;
/** Reads and verifies whole replicas. */
export class ReplicaVerifier {
  readonly #deps: ClientDeps;
  readonly #deadline: Deadline;

  constructor(deps: ClientDeps, deadline: Deadline) {
    this.#deps = deps;
    this.#deadline = deadline;
  }

  /** Reads and verifies a whole replica. @throws {AshlarError} CHUNK_CORRUPT, CHUNK_NOT_FOUND, … */
  async verify(chunk: ChunkLocation, server: Replica): Promise<void> {
    for (let verifiedBytes = 0; verifiedBytes < chunk.lengthBytes; ) {
      verifiedBytes += await this.#verifyFrom(chunk, server, verifiedBytes);
    }
  }

  /**
   * Verifies the rest of a replica, from a block boundary on. Resolves with the number of bytes:
   * less than the rest if the lifetime of the stream ended before.
   */
  async #verifyFrom(chunk: ChunkLocation, server: Replica, startBytes: number): Promise<number> {
    const endBytes = chunk.lengthBytes;
    const range = { startBytes, endBytes };
    const attempt = new ReadAttempt({
      deps: this.#deps,
      deadline: this.#deadline,
      chunk,
      server,
      ...range,
    });
    let verifiedBytes = 0;
    try {
      while (startBytes + verifiedBytes < endBytes) {
        verifiedBytes += await this.#verifyNextFrame(attempt);
      }
    } catch (error) {
      const isOutlived = attempt.hasExpired && isAshlarError(error, "DEADLINE_EXCEEDED");
      if (!isOutlived || verifiedBytes === 0) throw error;
    } finally {
      attempt.cancel();
    }
    return verifiedBytes;
  }

  /** Verifies the next frame. Resolves with its length. */
  async #verifyNextFrame(attempt: ReadAttempt): Promise<number> {
    const { hasher } = this.#deps.env;
    const outcome = await this.#outcomeWithinTimeout(attempt);
    attempt.consumeOutcome();
    if (outcome.kind === "failed") throw outcome.error;
    const { frame } = outcome;
    try {
      const verifiedBytes = countVerifiedBytes(
        hasher,
        frame.manifest,
        frame.offsetBytes,
        frame.bytes,
      );
      if (verifiedBytes === frame.bytes.length) return verifiedBytes;
      throw new AshlarError(
        "CHUNK_CORRUPT",
        `The block at ${frame.offsetBytes + verifiedBytes} on ${attempt.server.address} does not match its hash`,
      );
    } finally {
      frame.release();
    }
  }

  /** Resolves with the next outcome. @throws {AshlarError} DEADLINE_EXCEEDED after the timeout */
  #outcomeWithinTimeout(attempt: ReadAttempt): Promise<FrameOutcome> {
    const { address } = attempt.server;
    const { clock } = this.#deps.env;
    return new Promise((resolve, reject) => {
      let timer: Timer;
      const waitFor = (steps: number): void => {
        timer = clock.after(SILENCE_TIMEOUT_MS / SILENCE_STEPS, () => {
          if (steps > 1) {
            waitFor(steps - 1);
            return;
          }
          const message = `No response from ${address} within ${SILENCE_TIMEOUT_MS} ms`;
          reject(new AshlarError("DEADLINE_EXCEEDED", message));
        });
      };
      waitFor(SILENCE_STEPS);
      attempt.next().then((outcome) => {
        timer.cancel();
        resolve(outcome);
      }, reject);
    });
  }
}
