import type { Writable } from "node:stream";
import { AshlarError } from "../../shared/base/errors.ts";
import { errnoWords } from "../../shared/platform/errno-words.ts";

/**
 * The effect on a command if stdout has no reader left (`| head`).
 *
 * - `stop`: the command only prints. It stops, which is a success
 * - `continue`: the command changes something, or its exit status is a result. It does all of its
 *   work without output, and its exit status is that of the work
 */
export type OnClosedOutput = "stop" | "continue";

/** Writes to stdout, and applies `OnClosedOutput` when a write fails. */
export class StdoutWriter {
  readonly #stdout: Writable;
  readonly #onClosed: OnClosedOutput;
  readonly #stop = new AbortController();
  /** The first error of a write: nothing is written after it. */
  #lost: NodeJS.ErrnoException | null = null;

  constructor(stdout: Writable, onClosed: OnClosedOutput) {
    this.#stdout = stdout;
    this.#onClosed = onClosed;
    stdout.on("error", (error: NodeJS.ErrnoException) => this.#lose(error));
  }

  /** Aborts when the command must stop because its output is lost. */
  get stopped(): AbortSignal {
    return this.#stop.signal;
  }

  /** The error of output that was lost, except to a reader that closed it; null if there is none. */
  get failure(): AshlarError | null {
    if (this.#lost === null || this.#lost.code === "EPIPE") return null;
    const { code: errno = "", message } = this.#lost;
    const code = errno === "ENOSPC" ? "NO_SPACE" : "DISK_FAILED";
    const reason = errno === "" ? message : errnoWords(errno);
    return new AshlarError(code, `Cannot write standard output: ${reason}`, { cause: this.#lost });
  }

  /**
   * Writes a report on the work. If it is lost, a command that continues is not affected.
   *
   * @throws if the command must stop
   */
  async report(bytes: Uint8Array): Promise<void> {
    try {
      await this.#write(bytes);
    } catch (error) {
      if (this.#onClosed === "stop") throw error;
    }
  }

  /** Writes data that the command exists to write: without it any command stops. @throws */
  async data(bytes: Uint8Array): Promise<void> {
    try {
      await this.#write(bytes);
    } catch (error) {
      this.#stop.abort(error);
      throw error;
    }
  }

  #write(bytes: Uint8Array): Promise<void> {
    if (this.#lost !== null) return Promise.reject(this.#lost);
    return new Promise((resolve, reject) => {
      this.#stdout.write(bytes, (error) => {
        if (error === undefined || error === null) return resolve();
        this.#lose(error);
        reject(error);
      });
    });
  }

  #lose(error: NodeJS.ErrnoException): void {
    this.#lost ??= error;
    if (this.#onClosed === "stop") this.#stop.abort(this.#lost);
  }
}
