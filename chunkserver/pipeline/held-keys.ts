import type { LogIndex } from "../../shared/base/ids.ts";
import { Deferred } from "../../shared/flow/deferred.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import { type ChunkKeys, keyOfIndex } from "../../shared/protocol/chunk-keys.ts";

/** Shortest time for which `nextAnswer` waits for an answer of the leader. */
const WAIT_MS_MIN = 1_000;

/** The versions of the chunk key that this server has from the leader. None before a registration. */
export class HeldKeys {
  readonly #clock: Clock;
  #keys: ChunkKeys = [];
  #answered = new Deferred<void>();
  #waitMs = WAIT_MS_MIN;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The versions, oldest first. */
  get versions(): number[] {
    return this.#keys.map(({ version }) => version);
  }

  /** Returns the key of intents that were issued at `index`. Null if there is none. */
  keyOf(index: LogIndex): Uint8Array | null {
    return keyOfIndex(this.#keys, index);
  }

  replace(keys: ChunkKeys): void {
    this.#keys = keys;
  }

  /** Called after each answered heartbeat, and after `replace`. */
  recordAnswer(intervalMs: number): void {
    this.#waitMs = Math.max(WAIT_MS_MIN, 2 * intervalMs);
    this.#answered.resolve();
    this.#answered = new Deferred();
  }

  /**
   * Resolves when the leader has answered the next heartbeat, which may bring a new version; or after two
   * heartbeat intervals without an answer, or when the signal aborts.
   */
  async nextAnswer(signal: AbortSignal): Promise<void> {
    const { promise } = this.#answered;
    const stop = new AbortController();
    const timeout = this.#clock.sleep(this.#waitMs, AbortSignal.any([signal, stop.signal]));
    await Promise.race([promise, timeout.catch(() => {})]);
    stop.abort();
  }
}
