import { AshlarError } from "../../shared/base/errors.ts";
import type { FileSystem } from "../file-system.ts";
import {
  type ClusterAddress,
  isMasterList,
  noClusterNamed,
  parseClusterAddress,
} from "./cluster-address.ts";
import type { CommandContext, CommandDefinition, OptionValues } from "./command.ts";
import { EXIT_STATUS, exitStatusOf } from "./exit-status.ts";
import { Output } from "./output.ts";
import { RawArguments } from "./raw-arguments.ts";
import { reportError } from "./report-error.ts";
import { loadUserConfig } from "./user-config.ts";

/** Options that every command takes. */
export interface GlobalOptions {
  readonly cluster?: string;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: number;
  readonly color: "auto" | "always" | "never";
  readonly progress: "auto" | "always" | "never";
  readonly timeoutMs: number;
  readonly deadlineMs: number | null;
}

/** @returns the exit status. Never throws: what went wrong has been reported. */
export async function runCommand(
  definition: CommandDefinition,
  invocation: {
    readonly commandArguments: readonly string[];
    readonly options: OptionValues;
    readonly globals: GlobalOptions;
  },
): Promise<number> {
  const { globals } = invocation;
  const output = new Output({ ...globals, verbosity: globals.verbose });
  const stop = new StopSignals(globals.deadlineMs, output.closed);
  const connection = new LazyConnection(globals, output, stop.signal);
  try {
    const { run } = await definition.load();
    const context: CommandContext = {
      output,
      signal: stop.signal,
      timeoutMs: globals.timeoutMs,
      fileSystem: () => connection.get(),
      clusterDirectory: () => namedDirectory(globals),
      bytesOf: (argument) => rawArguments.bytesOf(argument),
    };
    await run(context, invocation.commandArguments, invocation.options);
    return EXIT_STATUS.done;
  } catch (error) {
    return statusAfter(error, { output, stop, globals });
  } finally {
    await connection.close();
    stop.dispose();
  }
}

const rawArguments = new RawArguments();

function statusAfter(
  error: unknown,
  parts: { readonly output: Output; readonly stop: StopSignals; readonly globals: GlobalOptions },
): number {
  // `ashlar ls | head`: nobody wants the rest, which is no failure.
  if (parts.output.closed.aborted) return EXIT_STATUS.done;
  const { reason } = parts.stop;
  const shown = reason?.error ?? error;
  reportError(shown, { json: parts.globals.json, verbosity: parts.globals.verbose });
  return reason?.status ?? exitStatusOf(error);
}

/** Ctrl-C, SIGTERM and the deadline: the first asks the command to stop, a second ends at once. */
class StopSignals {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout | null;
  readonly #onInterrupt = () => this.#stop("interrupted", EXIT_STATUS.interrupted);
  readonly #onTerminate = () => this.#stop("terminated", EXIT_STATUS.terminated);
  readonly signal: AbortSignal;
  /** Why the command was stopped from outside, or null. */
  reason: { readonly status: number; readonly error: AshlarError } | null = null;

  constructor(deadlineMs: number | null, closed: AbortSignal) {
    this.signal = AbortSignal.any([this.#controller.signal, closed]);
    process.on("SIGINT", this.#onInterrupt);
    process.on("SIGTERM", this.#onTerminate);
    this.#timer =
      deadlineMs === null
        ? null
        : setTimeout(
            () => this.#stop(`not done within --deadline ${deadlineMs} ms`, EXIT_STATUS.deadline),
            deadlineMs,
          );
  }

  dispose(): void {
    process.off("SIGINT", this.#onInterrupt);
    process.off("SIGTERM", this.#onTerminate);
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #stop(why: string, status: number): void {
    if (this.reason !== null) process.exit(status);
    const code = status === EXIT_STATUS.deadline ? "DEADLINE_EXCEEDED" : "CANCELLED";
    const error = new AshlarError(
      code,
      `The command was ${why}; what was not published is not visible`,
    );
    this.reason = { status, error };
    this.#controller.abort(error);
  }
}

/** The cluster's client library, loaded and connected when the command first needs it. */
class LazyConnection {
  readonly #globals: GlobalOptions;
  readonly #output: Output;
  readonly #signal: AbortSignal;
  #fileSystem: Promise<FileSystem> | null = null;

  constructor(globals: GlobalOptions, output: Output, signal: AbortSignal) {
    this.#globals = globals;
    this.#output = output;
    this.#signal = signal;
  }

  get(): Promise<FileSystem> {
    this.#fileSystem ??= this.#connect();
    return this.#fileSystem;
  }

  async close(): Promise<void> {
    try {
      await (await this.#fileSystem)?.[Symbol.asyncDispose]();
    } catch {
      // It never connected, which the command has reported; or the cluster forgets us by itself.
    }
  }

  async #connect(): Promise<FileSystem> {
    const address = await clusterAddress(this.#globals);
    const { connect } = await import("../connect.ts");
    return connect({
      masters: address.masters,
      ...(address.clusterId === null ? {} : { clusterId: address.clusterId }),
      clientName: "ashlar",
      timeoutMs: this.#globals.timeoutMs,
      signal: this.#signal,
      onRetry: ({ what, attempt, error }) =>
        this.#output.detail(
          `ashlar: ${what} failed (attempt ${attempt}), trying again: ${error.message}`,
        ),
    });
  }
}

/** The directory that --cluster, ASHLAR_CLUSTER or the config file names, there or not yet; else null. */
async function namedDirectory(globals: GlobalOptions): Promise<string | null> {
  const fromEnvironment = process.env["ASHLAR_CLUSTER"] ?? "";
  const named = globals.cluster ?? (fromEnvironment || (await loadUserConfig()).values.cluster);
  return named === undefined || isMasterList(named) ? null : named;
}

/** Flags > environment > config file. */
async function clusterAddress(globals: GlobalOptions): Promise<ClusterAddress> {
  if (globals.cluster !== undefined) return parseClusterAddress(globals.cluster, "--cluster");
  const fromEnvironment = process.env["ASHLAR_CLUSTER"] ?? "";
  if (fromEnvironment !== "") return parseClusterAddress(fromEnvironment, "ASHLAR_CLUSTER");
  const { values, path } = await loadUserConfig();
  if (values.cluster !== undefined)
    return parseClusterAddress(values.cluster, `"cluster" in ${path}`);
  throw noClusterNamed();
}
