import { AshlarError } from "../../shared/base/errors.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { GatewayFiles } from "./gateway-request.ts";

const PROBE_INTERVAL_MS = 2_000;
const PROBE_TIMEOUT_MS = 2_000;

/**
 * Readiness of the gateway, for /readyz: whether the masters answered the last probe. Disposing it
 * stops the probes.
 */
export class Readiness implements AsyncDisposable {
  readonly #files: Pick<GatewayFiles, "stat">;
  readonly #clock: Clock;
  readonly #stopped = new AbortController();
  readonly #probes: Promise<void>;
  #state: { readonly ready: boolean; readonly reason?: string } = {
    ready: false,
    reason: "the masters have not been probed yet",
  };

  constructor(files: Pick<GatewayFiles, "stat">, clock: Clock) {
    this.#files = files;
    this.#clock = clock;
    this.#probes = this.#probeRepeatedly();
  }

  get state(): { readonly ready: boolean; readonly reason?: string } {
    return this.#state;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort();
    await this.#probes;
  }

  async #probeRepeatedly(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      this.#state = await this.#probe(signal);
      try {
        await this.#clock.sleep(PROBE_INTERVAL_MS, signal);
      } catch {
        return; // Stopped.
      }
    }
  }

  async #probe(
    signal: AbortSignal,
  ): Promise<{ readonly ready: boolean; readonly reason?: string }> {
    try {
      await this.#files.stat("/", { signal, timeoutMs: PROBE_TIMEOUT_MS });
      return { ready: true };
    } catch (error) {
      const reason = error instanceof AshlarError ? error.message : String(error);
      return { ready: false, reason };
    }
  }
}
