import * as v from "valibot";
import { Deferred } from "../flow/deferred.ts";
import type { Env } from "../ports/env.ts";
import type { Log } from "../ports/log.ts";
import type { ConfigOrigin, ConfigSchema } from "./config.ts";
import { daemonStatusOf, reportDaemonError } from "./daemon-error.ts";
import { type DaemonUsage, daemonHelp, parseDaemonFlags } from "./daemon-flags.ts";
import { createHasher } from "./hasher.ts";
import { loadConfig } from "./load-config.ts";
import { openLog } from "./pino-log.ts";
import { watchProcess } from "./process.ts";
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
  /** Aborts when a graceful stop begins. */
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
    stopping.abort();
    stopped.resolve(status);
  };
  using _watch = watchProcess({
    log,
    onStop: () => stop(0),
    reopenLog,
    exit: (status) => process.exit(status),
  });
  const started = await definition.start({
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
    onFatal: (error) => {
      log.error("Stopping after a fatal error", { error });
      stop(daemonStatusOf(error));
    },
  });
  const { report, serving } = started;
  const facts = { ...started.facts, hasher: kind, pid: process.pid };
  if (serving === undefined) {
    log.info(report === undefined ? "Ready" : "Done", facts);
  } else {
    log.info("Listening: not ready yet", facts);
    serving
      .then(() => {
        if (!stopping.signal.aborted) log.info("Ready", facts);
      })
      .catch(() => {}); // It never rejects.
  }
  if (report !== undefined) {
    process.stdout.write(`${report}\n`);
    stop(0);
  }
  const status = await stopped.promise;
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
  log.info("Stopped", { status });
  return status;
}
