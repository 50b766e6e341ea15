import { setMaxListeners } from "node:events";
import type { AshlarError } from "../../shared/base/errors.ts";
import type { ClusterId } from "../../shared/base/ids.ts";
import {
  isMasterList,
  noClusterSet,
  parseClusterAddress,
} from "../../shared/platform/cluster-address.ts";
import type { FileSystem } from "../file-system.ts";
import { type CliEnv, systemPathOf } from "./cli-env.ts";
import { MastersWatch } from "./masters-watch.ts";
import type { Output } from "./output.ts";
import { RetryReport } from "./retry-report.ts";
import type { Settings } from "./settings.ts";
import type { WaitLine } from "./wait-line.ts";

/** Dependencies of a `LazyConnection`. */
export interface ConnectionDeps {
  readonly env: CliEnv;
  readonly settings: Settings;
  readonly timeoutMs: number;
  readonly output: Output;
  readonly waits: WaitLine;
  readonly signal: AbortSignal;
  /** Ends the command. */
  readonly fail: (error: AshlarError) => void;
}

/** A connection to the cluster. The client library is loaded and connected on first use. */
export class LazyConnection {
  readonly #deps: ConnectionDeps;
  readonly #retries = new RetryReport();
  #fileSystem: Promise<FileSystem> | null = null;
  #watch: MastersWatch | null = null;
  /** Ends the attempt in progress; null outside of `attempt`. */
  #failAttempt: ((error: AshlarError) => void) | null = null;

  constructor(deps: ConnectionDeps) {
    this.#deps = deps;
    const { waits, output } = deps;
    waits.addSource(() => this.#retries.text(output.silentMs));
    waits.addSource(() => this.#watch?.waitText() ?? null);
  }

  get(): Promise<FileSystem> {
    this.#fileSystem ??= this.#connect(this.#deps.signal);
    return this.#fileSystem;
  }

  /** See `CommandContext.attempt`. */
  async attempt<Result>(
    task: (fileSystem: FileSystem, signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const ending = new AbortController();
    const signal = AbortSignal.any([this.#deps.signal, ending.signal]);
    setMaxListeners(0, signal);
    this.#failAttempt = (error) => ending.abort(error);
    this.#watch?.forgetAnswers();
    try {
      return await task(await this.#connectedFor(signal), signal);
    } catch (error) {
      throw ending.signal.aborted ? ending.signal.reason : error;
    } finally {
      this.#failAttempt = null;
    }
  }

  /** Closes the connection if there is one. */
  async close(): Promise<void> {
    try {
      await (await this.#fileSystem)?.[Symbol.asyncDispose]();
    } catch {
      // The connect failed, which the command has reported; or the cluster expires the session.
    }
    this.#watch?.[Symbol.dispose]();
  }

  /** As `get`, but a later attempt connects again if this one fails. */
  async #connectedFor(signal: AbortSignal): Promise<FileSystem> {
    const connecting = this.#fileSystem ?? this.#connect(signal);
    this.#fileSystem = connecting;
    try {
      return await connecting;
    } catch (error) {
      this.#fileSystem = null;
      this.#watch?.[Symbol.dispose]();
      this.#watch = null;
      throw error;
    }
  }

  async #connect(signal: AbortSignal): Promise<FileSystem> {
    const { env, settings, timeoutMs, output, fail } = this.#deps;
    const { value, origin } = settings.cluster;
    if (value === "") throw noClusterSet();
    const where = isMasterList(value) ? value : systemPathOf(env, value);
    const { masters, clusterId, directory } = await parseClusterAddress(where, origin);
    const { connectCommand, nodeEnv } = await import("../connect.ts");
    const watch = new MastersWatch({
      cluster: { directory, origin },
      probe: async (probeTimeoutMs) => {
        const { probeMasters } = await import("../masters/probe-masters.ts");
        const options = { clusterId: clusterId as ClusterId | null, timeoutMs: probeTimeoutMs };
        return probeMasters(nodeEnv(), masters, options);
      },
      fail: (error) => (this.#failAttempt ?? fail)(error),
    });
    this.#watch = watch;
    return connectCommand(
      {
        masters,
        ...(clusterId === null ? {} : { clusterId }),
        clientName: "ashlar",
        timeoutMs,
        signal,
        onRetry: (event) => {
          this.#retries.record(event);
          const { operation, attempt, error } = event;
          output.detail(
            `ashlar: ${operation} failed (attempt ${attempt}), retrying: ${error.message}`,
          );
        },
      },
      watch,
    );
  }
}
