import * as v from "valibot";
import { AshlarError, isAshlarError } from "../base/errors.ts";
import { Deferred } from "../flow/deferred.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Env } from "../ports/env.ts";
import type { Log } from "../ports/log.ts";
import type { ConfigOrigin, ConfigSchema } from "./config.ts";
import { daemonStatusOf, reportDaemonError } from "./daemon-error.ts";
import { type DaemonUsage, daemonHelp, parseDaemonFlags } from "./daemon-flags.ts";
import { createHasher } from "./hasher.ts";
import { loadConfig } from "./load-config.ts";
import { openLog } from "./pino-log.ts";
import { statusOfSignal, watchProcess } from "./process.ts";
import { SystemClock } from "./system-clock.ts";
import { SystemRandom } from "./system-random.ts";
import { TcpNetwork } from "./tcp-network.ts";

/** A role that runs as a separate process. Its `start` receives a `Deps`. */
export interface DaemonProcessDefinition<Schema extends ConfigSchema, Deps>
  extends DaemonUsage<Schema> {
  /** Default of the key `logTo`; default: "stdout". */
  readonly defaultLogTo?: "stdout" | "stderr";
  /** Checks what the schema cannot express. @throws {AshlarError} INVALID_ARGUMENT */
  readonly check?: (
    config: v.InferOutput<Schema>,
    origins: Readonly<Record<string, ConfigOrigin>>,
  ) => void;
  /** Longest duration of a graceful stop in ms. The process exits at the end of this duration. */
  readonly stopMsMax: (config: v.InferOutput<Schema>) => number;
  /** Whether `start` is a job. A signal that ends a job ends the process with status 130 or 143. */
  readonly isJob?: boolean;
  /**
   * Starts the role. Resolves when the role listens, or when a job is done. It imports the modules of
   * the role: `--help` and a config that is refused do not need them.
   */
  readonly start: (deps: Deps) => Promise<StartedDaemon>;
}

/** Dependencies of a role. */
export interface DaemonProcessDeps<Config> {
  readonly config: Config;
  readonly env: Env;
  /** Returns the metrics in the text format of Prometheus. */
  readonly scrape: () => Promise<{ readonly contentType: string; readonly text: string }>;
  /**
   * Aborts with CANCELLED when a graceful stop begins, also during the start. A start that does not end then
   * ends with the process after START_STOP_MS_MAX.
   */
  readonly signal: AbortSignal;
  /** Ends the process after a fatal error. The role is disposed first. */
  readonly onFatal: (error: unknown) => void;
}

/** A role that serves. Disposing it stops it gracefully. */
export interface StartedDaemon extends AsyncDisposable {
  /** Fields of the log lines "Ready" and "Listening: not ready yet". */
  readonly facts: Readonly<Record<string, unknown>>;
  /**
   * Resolves when the role serves. It never rejects, and stays pending if the role does not serve before it
   * stops. Undefined: it serves from the start.
   */
  readonly serving?: Promise<void>;
  /** Result of a job that is done: the process prints it and exits without waiting for a signal. */
  readonly report?: string;
}

/**
 * Longest time that a stop waits for a start in progress, in milliseconds. A data directory can be opened again
 * after the process has ended at any point of the start.
 */
const START_STOP_MS_MAX = 3_000;

const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
const COMMON_HELP = {
  logLevel: "debug, info, warn, error or silent",
  logTo: '"stdout", "stderr" or a file, which SIGHUP reopens',
};

/** Keys that every daemon has in addition to its own. */
function commonEntries(defaultLogTo: "stdout" | "stderr") {
  return {
    logLevel: v.optional(v.picklist(LOG_LEVELS), "info"),
    logTo: v.optional(v.string(), defaultLogTo),
  };
}

type CommonConfig = v.InferOutput<
  v.StrictObjectSchema<ReturnType<typeof commonEntries>, undefined>
>;

/**
 * Runs a process from its command line to its exit: config, log, start, signals, graceful stop.
 *
 * @returns the exit status: 0 after a graceful stop, the status of the error code after an error
 */
export async function runDaemonProcess<Schema extends ConfigSchema>(
  definition: DaemonProcessDefinition<Schema, DaemonProcessDeps<v.InferOutput<Schema>>>,
  commandLine: readonly string[],
): Promise<number> {
  try {
    return await run(definition, commandLine);
  } catch (error) {
    reportDaemonError(definition.role, error, process.stderr);
    return daemonStatusOf(error);
  }
}

async function run<Schema extends ConfigSchema>(
  definition: DaemonProcessDefinition<Schema, DaemonProcessDeps<v.InferOutput<Schema>>>,
  commandLine: readonly string[],
): Promise<number> {
  const { role } = definition;
  const schema = v.strictObject({
    ...definition.schema.entries,
    ...commonEntries(definition.defaultLogTo ?? "stdout"),
  });
  const keys = Object.keys(schema.entries);
  const { help, config: file, ...flags } = parseDaemonFlags(definition, keys, commandLine);
  if (help !== undefined) {
    const describe = { ...definition.describe, ...COMMON_HELP };
    process.stdout.write(daemonHelp({ ...definition, describe }, keys));
    return 0;
  }
  const environment = process.env;
  const loaded = await loadConfig({ schema, file: file ?? null, environment, flags });
  const { logLevel, logTo, ...ownConfig } = loaded.values as CommonConfig;
  const config = ownConfig as v.InferOutput<Schema>;
  definition.check?.(config, loaded.origins);

  const { log, reopen } = openLog({ to: logTo, level: logLevel, fields: { role } });
  try {
    return await serve(definition, { config, log, reopenLog: reopen });
  } catch (error) {
    // The caller reports it on stderr, which a service may discard.
    if (reopen !== null) log.error("Ending with an error", { error });
    throw error;
  }
}

/** Starts the role, waits for its end and stops it. @returns the exit status */
async function serve<Schema extends ConfigSchema>(
  definition: DaemonProcessDefinition<Schema, DaemonProcessDeps<v.InferOutput<Schema>>>,
  deps: {
    readonly config: v.InferOutput<Schema>;
    readonly log: Log;
    readonly reopenLog: (() => void) | null;
  },
): Promise<number> {
  const { config, log, reopenLog } = deps;
  const { hasher, kind } = createHasher();
  const { PrometheusMetrics } = await import("./prometheus-metrics.ts");
  const metrics = new PrometheusMetrics();
  metrics.addProcessMetrics();
  const clock = new SystemClock();
  const stopped = new Deferred<number>();
  const stopping = new AbortController();
  const stop = (status: number): void => {
    stopped.resolve(status);
    stopping.abort(new AshlarError("CANCELLED", "This process is stopping"));
  };
  using _watch = watchProcess({
    log,
    onStop: (signal) => stop(definition.isJob === true ? statusOfSignal(signal) : 0),
    reopenLog,
    exit: (status) => process.exit(status),
  });
  const roleDeps = {
    config,
    env: {
      clock,
      random: new SystemRandom(),
      network: new TcpNetwork(),
      hasher,
      log,
      metrics,
    },
    scrape: () => metrics.scrape(),
    signal: stopping.signal,
    onFatal: (error: unknown) => {
      log.error("Stopping after a fatal error", { error });
      stop(daemonStatusOf(error));
    },
  };
  const started = await startUnlessStopped(() => definition.start(roleDeps), {
    clock,
    signal: stopping.signal,
    onOverdue: () => exitOverdue(log, stopped),
  });
  if (started === null) return logStopped(log, await stopped.promise);
  const { report, serving } = started;
  const facts = { ...started.facts, hasher: kind, pid: process.pid };
  if (report !== undefined) {
    log.info("Done", facts);
    process.stdout.write(`${report}\n`);
    stop(0);
  } else if (stopping.signal.aborted) {
    log.info("The start has ended after the stop began", facts);
  } else if (serving === undefined) {
    log.info("Ready", facts);
  } else {
    log.info("Listening: not ready yet", facts);
    serving
      .then(() => {
        if (!stopping.signal.aborted) log.info("Ready", facts);
      })
      .catch(() => {}); // It never rejects.
  }
  const status = report === undefined ? await stopped.promise : 0;
  // A disk or a peer that hangs must not block the stop. Everything acknowledged is durable.
  const deadline = clock.after(definition.stopMsMax(config), () => {
    log.warn("Stopped before all pending work had ended", { status });
    process.exit(status);
  });
  try {
    await started[Symbol.asyncDispose]();
  } finally {
    deadline.cancel();
  }
  return logStopped(log, status);
}

/**
 * Starts a role. A stop aborts `signal`, and calls `onOverdue` if the start has not ended START_STOP_MS_MAX later.
 *
 * @returns null if the stop has ended the start
 */
async function startUnlessStopped(
  start: () => Promise<StartedDaemon>,
  options: {
    readonly clock: Clock;
    readonly signal: AbortSignal;
    readonly onOverdue: () => void;
  },
): Promise<StartedDaemon | null> {
  const { clock, signal, onOverdue } = options;
  if (signal.aborted) return null;
  let deadline: Timer | null = null;
  const onAbort = (): void => {
    deadline = clock.after(START_STOP_MS_MAX, onOverdue);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await start();
  } catch (error) {
    if (signal.aborted && isAshlarError(error, "CANCELLED")) return null;
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
    (deadline as Timer | null)?.cancel();
  }
}

async function exitOverdue(log: Log, stopped: Deferred<number>): Promise<void> {
  const status = await stopped.promise;
  log.warn("Stopped before the start had ended", { status });
  process.exit(status);
}

function logStopped(log: Log, status: number): number {
  log.info("Stopped", { status });
  return status;
}
