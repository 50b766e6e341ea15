import { setMaxListeners } from "node:events";
import { AshlarError } from "../../shared/base/errors.ts";
import { isMasterList } from "../../shared/platform/cluster-address.ts";
import { SystemClock } from "../../shared/platform/system-clock.ts";
import type { Timer } from "../../shared/ports/clock.ts";
import { checkArguments } from "./check-arguments.ts";
import type { CliEnv } from "./cli-env.ts";
import type { CommandContext, CommandDefinition } from "./command.ts";
import { Degraded, EXIT_STATUS, exitStatusOf, PartialFailure, Stopped } from "./exit-status.ts";
import { LazyConnection } from "./lazy-connection.ts";
import { Output } from "./output.ts";
import type { Invocation, ProgramDeps } from "./program.ts";
import { reportError } from "./report-error.ts";
import { durationOf, loadSettings, type Setting, type Settings, whenOf } from "./settings.ts";
import type { OnClosedOutput } from "./stdout-writer.ts";
import { WaitLine } from "./wait-line.ts";

const DEFAULT_TIMEOUT_MS = 30_000;

type CommandDeps = Pick<ProgramDeps, "env" | "commands">;

/** Runs a command and reports its error. Never throws. @returns the exit status */
export async function runCommand(
  definition: CommandDefinition,
  invocation: Invocation,
  deps: CommandDeps,
): Promise<number> {
  const { globals } = invocation;
  const { env } = deps;
  try {
    const settings = await loadSettings(globals.flags, env.variables);
    return await runWithSettings(settings, { ...deps, definition, invocation });
  } catch (error) {
    reportError(env, error, { json: globals.json, verbosity: globals.verbose });
    return exitStatusOf(error);
  }
}

interface CommandRun extends CommandDeps {
  readonly definition: CommandDefinition;
  readonly invocation: Invocation;
}

async function runWithSettings(
  settings: Settings,
  { env, definition, invocation, commands }: CommandRun,
): Promise<number> {
  const { globals } = invocation;
  const timeoutMs = durationOf(settings.timeout) ?? DEFAULT_TIMEOUT_MS;
  const output = new Output(env, {
    json: globals.json,
    quiet: globals.quiet,
    verbosity: globals.verbose,
    color: whenOf(settings.color),
    progress: whenOf(settings.progress),
    onClosed: onClosedOutputOf(definition, invocation),
  });
  const idle = `${definition.name}: ${definition.idle ?? "working"}`;
  using waits = new WaitLine({ output, idle });
  const stop = new StopSignals(env, durationOf(settings.deadline), output.closed);
  const { signal } = stop;
  const fail = (error: AshlarError): void => stop.fail(error);
  const connection = new LazyConnection({ env, settings, timeoutMs, output, waits, signal, fail });
  try {
    checkArguments(definition, invocation.commandArguments);
    const { run } = await definition.load();
    const context: CommandContext = {
      env,
      output,
      waits,
      signal,
      timeoutMs,
      settings,
      commands,
      fileSystem: () => connection.get(),
      attempt: (task) => connection.attempt(task),
      clusterDirectory: () => Promise.resolve(namedDirectory(settings.cluster)),
    };
    await run(context, invocation.commandArguments, invocation.options);
    if (output.failure !== null) throw output.failure;
    return EXIT_STATUS.done;
  } catch (error) {
    return statusAfter(error, { env, output, stop });
  } finally {
    await connection.close();
    stop.dispose();
  }
}

function statusAfter(
  error: unknown,
  {
    env,
    output,
    stop,
  }: { readonly env: CliEnv; readonly output: Output; readonly stop: StopSignals },
): number {
  if (output.closed.aborted) return statusAfterClose(error, { env, output });
  output.clearWait();
  if (error instanceof Degraded) return EXIT_STATUS.other;
  if (error instanceof Stopped && !stop.isFailed) return stop.reason?.status ?? EXIT_STATUS.done;
  const { json, verbosity } = output.options;
  reportError(env, stop.reason?.error ?? error, { json, verbosity });
  return stop.reason?.status ?? exitStatusOf(error);
}

/** `ashlar ls | head`: a closed stdout is not a failure. A full disk is, and so are failed items. */
function statusAfterClose(
  error: unknown,
  { env, output }: { readonly env: CliEnv; readonly output: Output },
): number {
  const { json, verbosity } = output.options;
  if (output.failure !== null) {
    reportError(env, output.failure, { json, verbosity });
    return exitStatusOf(output.failure);
  }
  return error instanceof PartialFailure ? EXIT_STATUS.partial : EXIT_STATUS.done;
}

function onClosedOutputOf(
  { onClosedOutput }: CommandDefinition,
  { options }: Invocation,
): OnClosedOutput {
  return typeof onClosedOutput === "function" ? onClosedOutput(options) : onClosedOutput;
}

/**
 * Stops a command on Ctrl-C, on SIGTERM and at its deadline. The first of them aborts `signal`; a
 * second one ends the process at once.
 */
class StopSignals {
  readonly #env: CliEnv;
  readonly #controller = new AbortController();
  readonly #timer: Timer | null;
  readonly #onInterrupt = () => this.#stop("interrupted", EXIT_STATUS.interrupted);
  readonly #onTerminate = () => this.#stop("terminated", EXIT_STATUS.terminated);
  readonly signal: AbortSignal;
  /** Why the command was stopped; null if it was not stopped. */
  reason: { readonly status: number; readonly error: AshlarError } | null = null;
  /** Whether `fail` has stopped the command: its error is always reported. */
  isFailed = false;

  constructor(env: CliEnv, deadlineMs: number | null, closed: AbortSignal) {
    this.#env = env;
    this.signal = AbortSignal.any([this.#controller.signal, closed]);
    // Every pending call adds a listener.
    setMaxListeners(0, this.signal);
    env.signals.on("SIGINT", this.#onInterrupt);
    env.signals.on("SIGTERM", this.#onTerminate);
    this.#timer =
      deadlineMs === null
        ? null
        : new SystemClock().after(deadlineMs, () =>
            this.#stop(`stopped at its deadline of ${deadlineMs} ms`, EXIT_STATUS.deadline),
          );
  }

  dispose(): void {
    this.#env.signals.off("SIGINT", this.#onInterrupt);
    this.#env.signals.off("SIGTERM", this.#onTerminate);
    this.#timer?.cancel();
  }

  /** Ends the command with `error`, unless it is stopped already. */
  fail(error: AshlarError): void {
    if (this.reason !== null) return;
    this.isFailed = true;
    this.#abort(exitStatusOf(error), error);
  }

  #stop(how: string, status: number): void {
    if (this.reason !== null) this.#env.exit(status);
    const code = status === EXIT_STATUS.deadline ? "DEADLINE_EXCEEDED" : "CANCELLED";
    const text = `The command was ${how}; files that were not published are not visible`;
    this.#abort(status, new AshlarError(code, text));
  }

  #abort(status: number, error: AshlarError): void {
    this.#timer?.cancel(); // The deadline must not end the process while the command cleans up.
    this.reason = { status, error };
    this.#controller.abort(error);
  }
}

/** Returns the directory in the setting, whether it exists or not; null if there is none. */
function namedDirectory({ value }: Setting): string | null {
  return value === "" || isMasterList(value) ? null : value;
}
