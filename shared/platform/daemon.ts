import { parseArgs } from "node:util";
import * as v from "valibot";
import { AshlarError, ERROR_CODES, isAshlarError } from "../base/errors.ts";
import { Deferred } from "../flow/deferred.ts";
import type { Disk } from "../ports/disk.ts";
import type { Env } from "../ports/env.ts";
import type { OrderedStores } from "../ports/ordered-store.ts";
import { type ConfigSchema, flagNameOf } from "./config.ts";
import { lockDataDirectory } from "./data-directory-lock.ts";
import { createHasher } from "./hasher.ts";
import { LmdbStores } from "./lmdb-store.ts";
import { loadConfig } from "./load-config.ts";
import { NodeDisk } from "./node-disk.ts";
import { createLog } from "./pino-log.ts";
import { watchProcess } from "./process.ts";
import { PrometheusMetrics } from "./prometheus-metrics.ts";
import { SystemClock } from "./system-clock.ts";
import { SystemRandom } from "./system-random.ts";
import { TcpNetwork } from "./tcp-network.ts";

/** What a role gives to become a process. */
export interface DaemonDefinition<Schema extends ConfigSchema> {
  /** "master": as in `ashlar master`. */
  readonly role: string;
  /** Of the file in the examples of --help, if it is not the role. */
  readonly configName?: string;
  readonly schema: Schema;
  /** A key whose value stands alone on the command line: `ashlar restore-cluster FILE`. */
  readonly operand?: string;
  /** More examples for --help: what to type, and what it does. */
  readonly examples?: readonly (readonly [command: string, explanation: string])[];
  /** One line for each key, for --help. */
  readonly describe: Readonly<Record<string, string>>;
  /** Checks what the schema cannot. @throws {AshlarError} INVALID_ARGUMENT */
  readonly check?: (config: v.InferOutput<Schema>) => void;
  /** How long an orderly stop may take; then the process ends all the same. */
  readonly stopMsMax: (config: v.InferOutput<Schema>) => number;
  readonly start: (world: DaemonDeps<v.InferOutput<Schema>>) => Promise<StartedDaemon>;
}

export interface DaemonDeps<Config> {
  readonly config: Config;
  readonly env: Env;
  readonly disk: Disk;
  readonly stores: OrderedStores;
  readonly scrape: () => Promise<{ readonly contentType: string; readonly text: string }>;
  /** The process cannot go on: it stops as soon as what is running has been closed. */
  readonly onFatal: (error: unknown) => void;
}

export interface StartedDaemon extends AsyncDisposable {
  /** For the line that says that it runs. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** It was a job and is done: the process prints this and ends instead of waiting for a signal. */
  readonly report?: string;
}

/** Keys of every daemon beside its own. */
const COMMON_ENTRIES = {
  logLevel: v.optional(v.picklist(["debug", "info", "warn", "error", "silent"]), "info"),
  logTo: v.optional(v.string(), "stdout"),
};
const COMMON_DESCRIPTIONS = {
  logLevel: "debug, info, warn, error or silent",
  logTo: '"stdout", "stderr" or a file',
};

/** Exit status after an error that a person has to look at. */
const STATUS_FATAL = 1;

/**
 * The whole life of a daemon's process: config, lock, start, signals, stop.
 *
 * @returns the exit status: 0 after an orderly stop, that of the error's code if it could not start.
 */
export async function runDaemon<Schema extends ConfigSchema>(
  definition: DaemonDefinition<Schema>,
  commandLine: readonly string[],
): Promise<number> {
  try {
    return await run(definition, commandLine);
  } catch (error) {
    const { message } = error as Error;
    process.stderr.write(`ashlar ${definition.role}: ${message}\n`);
    if (!isAshlarError(error)) {
      process.stderr.write(`${(error as Error).stack}\n`);
      return STATUS_FATAL;
    }
    if (error.hint !== undefined) process.stderr.write(`  hint: ${error.hint}\n`);
    return ERROR_CODES[error.code].exitStatus;
  }
}

type CommonConfig = v.InferOutput<v.StrictObjectSchema<typeof COMMON_ENTRIES, undefined>>;

async function run<Schema extends ConfigSchema>(
  definition: DaemonDefinition<Schema>,
  commandLine: readonly string[],
): Promise<number> {
  const { role } = definition;
  const schema = v.strictObject({ ...definition.schema.entries, ...COMMON_ENTRIES });
  const flags = parseFlags(definition, Object.keys(schema.entries), commandLine);
  if (flags["help"] !== undefined) {
    process.stdout.write(helpText(definition));
    return 0;
  }
  const { config: file, ...values } = flags;
  const environment = process.env;
  const loaded = await loadConfig({ schema, file: file ?? null, environment, flags: values });
  const { logLevel, logTo, ...config } = loaded.values as CommonConfig & { dataDir: string };
  definition.check?.(config as v.InferOutput<Schema>);

  await using lock = await lockDataDirectory(config.dataDir);
  const log = createLog({ to: logTo, level: logLevel, fields: { role } });
  const { hasher, kind } = createHasher();
  const metrics = new PrometheusMetrics();
  metrics.addProcessMetrics();
  const stopped = new Deferred<number>();
  using _watch = watchProcess({
    log,
    onStop: () => stopped.resolve(0),
    exit: (status) => process.exit(status),
  });
  const started = await definition.start({
    config: config as v.InferOutput<Schema>,
    env: {
      clock: new SystemClock(),
      random: new SystemRandom(),
      network: new TcpNetwork(),
      hasher,
      log,
      metrics,
    },
    disk: new NodeDisk(config.dataDir),
    stores: new LmdbStores(`${config.dataDir}/stores`),
    scrape: () => metrics.scrape(),
    onFatal: (error) => {
      log.error("This process cannot go on", { error });
      stopped.resolve(isAshlarError(error) ? ERROR_CODES[error.code].exitStatus : STATUS_FATAL);
    },
  });
  const { facts, report } = started;
  log.info(report === undefined ? "Ready" : "Done", { ...facts, hasher: kind, pid: process.pid });
  if (report !== undefined) {
    process.stdout.write(`${report}\n`);
    stopped.resolve(0);
  }
  const status = await stopped.promise;
  // What hangs (a disk, a peer) must not hold up the stop: nothing is lost that was acknowledged.
  const deadline = setTimeout(
    () => {
      log.warn("Stopped before everything under way had ended", { status });
      process.exit(status);
    },
    definition.stopMsMax(config as v.InferOutput<Schema>),
  );
  try {
    await started[Symbol.asyncDispose]();
  } finally {
    clearTimeout(deadline);
  }
  await lock.release();
  log.info("Stopped", { status });
  return status;
}

/** Every config key is a flag: `dataDir` is --data-dir. */
function parseFlags(
  { role, operand }: Pick<DaemonDefinition<ConfigSchema>, "role" | "operand">,
  keys: readonly string[],
  commandLine: readonly string[],
): Record<string, string | undefined> {
  const names = new Map([...keys, "config"].map((key) => [flagNameOf(key).slice(2), key]));
  const options = Object.fromEntries(
    [...names.keys()].map((name) => [name, { type: "string" as const }]),
  );
  try {
    const { values, positionals } = parseArgs({
      args: [...commandLine],
      options: { ...options, help: { type: "boolean" } },
      allowPositionals: operand !== undefined,
    });
    if (positionals.length > 1) throw new Error(`Unexpected argument '${positionals[1]}'`);
    const entries = Object.entries(values).map(([name, value]) => [
      names.get(name) ?? name,
      String(value),
    ]);
    if (operand !== undefined && positionals[0] !== undefined) {
      entries.push([operand, positionals[0]]);
    }
    return Object.fromEntries(entries);
  } catch (cause) {
    const problem = (cause as Error).message.split("\n", 1)[0];
    throw new AshlarError("INVALID_ARGUMENT", `Cannot read the command line: ${problem}`, {
      hint: `ashlar ${role} --help`,
      cause,
    });
  }
}

function helpText<Schema extends ConfigSchema>(definition: DaemonDefinition<Schema>): string {
  const describe: Record<string, string> = { ...definition.describe, ...COMMON_DESCRIPTIONS };
  const rows = [...Object.keys(definition.schema.entries), ...Object.keys(COMMON_ENTRIES)].map(
    (key) => `  ${flagNameOf(key).padEnd(34)} ${describe[key] ?? ""}`,
  );
  const { examples = [] } = definition;
  const operand = definition.operand === undefined ? "" : ` ${definition.operand.toUpperCase()}`;
  return [
    `Usage: ashlar ${definition.role}${operand} [--config FILE] [flags]`,
    "",
    "Examples:",
    `  ashlar ${definition.role}${operand} --config /etc/ashlar/${definition.configName ?? definition.role}.toml`,
    "      every flag is also a key of the file (camelCase) and ASHLAR_* in the environment",
    ...examples.flatMap(([command, explanation]) => [`  ${command}`, `      ${explanation}`]),
    "",
    "Flags:",
    `  ${"--config".padEnd(34)} a TOML file; environment and flags win over it`,
    ...rows,
    "",
    "docs/operations.md describes each.",
    "",
  ].join("\n");
}
