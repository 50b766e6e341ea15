import type { RetryEvent } from "../options.ts";

/**
 * The last failed attempt that concerns chunkservers, as what a transfer waits for. The masters answer
 * during such a wait.
 */
export class RetryReport {
  readonly #nowMs: () => number;
  #last: { readonly atMs: number; readonly sinceMs: number; readonly message: string } | null =
    null;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** Call it with every attempt that is repeated. */
  record({ operation, error }: RetryEvent): void {
    if (!operation.startsWith("chunk ") && error.code !== "TOO_FEW_CHUNKSERVERS") return;
    const atMs = this.#nowMs();
    this.#last = { atMs, sinceMs: this.#last?.sinceMs ?? atMs, message: error.message };
  }

  /**
   * Returns what the command waits for; null if no attempt failed during the silence.
   *
   * @param silentMs time since the last output or progress
   */
  text(silentMs: number): string | null {
    const nowMs = this.#nowMs();
    if (this.#last !== null && this.#last.atMs < nowMs - silentMs) this.#last = null;
    if (this.#last === null) return null;
    const seconds = Math.round((nowMs - this.#last.sinceMs) / 1_000);
    return `chunkservers for ${seconds} s: ${this.#last.message}`;
  }
}
