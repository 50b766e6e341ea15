import { hostname } from "node:os";
import { parseArgs } from "node:util";
import { AshlarError, ERROR_CODES, isAshlarError } from "../shared/base/errors.ts";
import { flagNameOf } from "../shared/platform/config.ts";
import { lockDataDirectory } from "../shared/platform/data-directory-lock.ts";
import { createHasher } from "../shared/platform/hasher.ts";
import { LmdbStores } from "../shared/platform/lmdb-store.ts";
import { loadConfig } from "../shared/platform/load-config.ts";
import { NodeDisk } from "../shared/platform/node-disk.ts";
import { createLog, type LogLevel } from "../shared/platform/pino-log.ts";
import { watchProcess } from "../shared/platform/process.ts";
import { PrometheusMetrics } from "../shared/platform/prometheus-metrics.ts";
import { SystemClock } from "../shared/platform/system-clock.ts";
import { SystemRandom } from "../shared/platform/system-random.ts";
import { TcpNetwork } from "../shared/platform/tcp-network.ts";
import type { Log } from "../shared/ports/log.ts";
import { type ChunkserverConfig, chunkserverConfigSchema } from "./config.ts";
import { startChunkserver } from "./server.ts";

const STATUS_OF_A_BUG = 70;
/** Beyond the grace for what is in flight: goodbye, last commits, closing. */
const STOP_SLACK_MS = 5_000;
const LOG_LEVELS: readonly string[] = ["debug", "info", "warn", "error", "silent"];

/**
 * Runs a chunkserver until SIGTERM or SIGINT. `commandLine` is what follows the program's name.
 *
 * @returns the exit status: 0 after an orderly stop, else that of the error's row (docs/errors.md).
 */
export async function main(commandLine: readonly string[]): Promise<number> {
  let log: Log = createLog({ to: "stderr", level: "info", fields: { role: "chunkserver" } });
  try {
    const flags = readFlags(commandLine);
    if (flags.isHelp) {
      process.stdout.write(helpText());
      return 0;
    }
    const level = logLevel(flags.logLevel);
    log = createLog({ to: flags.logTo, level, fields: { role: "chunkserver" } });
    const { values } = await loadConfig({
      schema: chunkserverConfigSchema,
      file: flags.configPath,
      environment: process.env,
      flags: flags.keys,
    });
    return await run({ ...values, host: values.host ?? hostname() }, log);
  } catch (error) {
    if (!isAshlarError(error)) throw error;
    log.error(error.message, { code: error.code, ...hintOf(error), error });
    return ERROR_CODES[error.code].exitStatus;
  }
}

async function run(config: ChunkserverConfig, log: Log): Promise<number> {
  await using _lock = await lockDataDirectory(config.dataDir);
  const metrics = new PrometheusMetrics();
  metrics.addProcessMetrics();
  const { hasher, kind } = createHasher();
  const clock = new SystemClock();
  const random = new SystemRandom();
  const env = { clock, random, network: new TcpNetwork(), hasher, log, metrics };
  const storage = {
    disk: new NodeDisk(config.dataDir),
    stores: new LmdbStores(`${config.dataDir}/stores`),
  };
  const stop = stopSignal();
  using _watch = watchProcess({
    log,
    onStop: () => stop.request(0),
    exit: (status) => process.exit(status),
  });
  const server = await startChunkserver(config, env, storage, {
    onFatal: () => stop.request(STATUS_OF_A_BUG),
    scrape: () => metrics.scrape(),
  });
  const { serverId, address, httpAddress } = server;
  log.info("Chunkserver is ready", { address, httpAddress, serverId, hasher: kind });
  const status = await stop.requested;
  // What hangs (a disk, a peer) must not hold up the stop: nothing is lost that was acknowledged.
  const deadline = setTimeout(() => {
    log.warn("Stopped before everything under way had ended");
    process.exit(status);
  }, config.stopGraceMs + STOP_SLACK_MS);
  await server[Symbol.asyncDispose]();
  clearTimeout(deadline);
  log.info("Chunkserver has stopped");
  return status;
}

interface StopSignal {
  readonly request: (status: number) => void;
  /** Resolves with the exit status when a stop is requested. */
  readonly requested: Promise<number>;
}

function stopSignal(): StopSignal {
  let request: (status: number) => void = () => {};
  const requested = new Promise<number>((resolve) => {
    request = resolve;
  });
  return { request: (status) => request(status), requested };
}

interface Flags {
  readonly isHelp: boolean;
  readonly configPath: string | null;
  readonly logTo: string;
  readonly logLevel: string;
  /** Config keys, as text. */
  readonly keys: Readonly<Record<string, string | undefined>>;
}

/** `--config FILE`, `--log-to`, `--log-level`, `--help`, and every key of the config as a flag. */
function readFlags(commandLine: readonly string[]): Flags {
  const keys = Object.keys(chunkserverConfigSchema.entries);
  const options: Record<string, { readonly type: "string" | "boolean"; readonly short?: string }> =
    {
      config: { type: "string", short: "c" },
      "log-to": { type: "string" },
      "log-level": { type: "string" },
      help: { type: "boolean", short: "h" },
    };
  for (const key of keys) options[flagNameOf(key).slice(2)] = { type: "string" };
  const values = parseFlags(commandLine, options);
  const text = (name: string): string | undefined => {
    const value = values[name];
    return typeof value === "string" ? value : undefined;
  };
  return {
    isHelp: values["help"] === true,
    configPath: text("config") ?? null,
    logTo: text("log-to") ?? "stderr",
    logLevel: text("log-level") ?? process.env["ASHLAR_LOG_LEVEL"] ?? "info",
    keys: Object.fromEntries(keys.map((key) => [key, text(flagNameOf(key).slice(2))])),
  };
}

function parseFlags(
  commandLine: readonly string[],
  options: Record<string, { readonly type: "string" | "boolean"; readonly short?: string }>,
): Readonly<Record<string, unknown>> {
  try {
    return parseArgs({ args: [...commandLine], options, strict: true }).values;
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new AshlarError("INVALID_ARGUMENT", `Cannot read the command line: ${problem}`, {
      cause,
      hint: "ashlar chunkserver --help lists the flags",
    });
  }
}

function logLevel(text: string): LogLevel {
  if (LOG_LEVELS.includes(text)) return text as LogLevel;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use --log-level: expected ${LOG_LEVELS.join(", ")}: current value is "${text}"`,
  );
}

function helpText(): string {
  const flags = Object.keys(chunkserverConfigSchema.entries).map((key) => `  ${flagNameOf(key)}`);
  return [
    "Usage: ashlar chunkserver --data-dir DIR --masters HOST:PORT,… [flags]",
    "",
    "Stores chunks in one directory on one disk, for the cluster of these masters.",
    "Every flag is a key of the config file (--config FILE, TOML) and of the environment",
    "(--data-dir is ASHLAR_DATA_DIR). docs/configuration.md describes them.",
    "",
    ...flags,
    "  --config FILE",
    "  --log-to stdout|stderr|FILE",
    `  --log-level ${LOG_LEVELS.join("|")}`,
    "",
  ].join("\n");
}

function hintOf(error: AshlarError): { readonly hint?: string } {
  return error.hint === undefined ? {} : { hint: error.hint };
}
