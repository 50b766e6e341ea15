import { parseArgs } from "node:util";
import { AshlarError, ERROR_CODES, isAshlarError } from "../../shared/base/errors.ts";
import {
  type ClusterAddress,
  noClusterSet,
  parseClusterAddress,
} from "../../shared/platform/cluster-address.ts";
import { flagNameOf } from "../../shared/platform/config.ts";
import { createHasher } from "../../shared/platform/hasher.ts";
import { loadConfig } from "../../shared/platform/load-config.ts";
import { createLog, type LogLevel } from "../../shared/platform/pino-log.ts";
import { watchProcess } from "../../shared/platform/process.ts";
import { PrometheusMetrics } from "../../shared/platform/prometheus-metrics.ts";
import { SystemClock } from "../../shared/platform/system-clock.ts";
import { SystemRandom } from "../../shared/platform/system-random.ts";
import { TcpNetwork } from "../../shared/platform/tcp-network.ts";
import { loadUserConfig } from "../../shared/platform/user-config.ts";
import type { Log } from "../../shared/ports/log.ts";
import { connect } from "../connect.ts";
import { type GatewayConfig, gatewayConfigSchema } from "./config.ts";
import { startGateway } from "./server.ts";

const LOG_LEVELS: readonly string[] = ["debug", "info", "warn", "error", "silent"];
/** Beyond the grace for requests under way: closing the session. */
const STOP_SLACK_MS = 5_000;

/**
 * Runs the HTTP gateway until SIGTERM or SIGINT. `commandLine` is what follows "ashlar gateway".
 *
 * @returns the exit status: 0 after an orderly stop, else that of the error's row (docs/errors.md).
 */
export async function main(commandLine: readonly string[]): Promise<number> {
  let log: Log = createLog({ to: "stderr", level: "info", fields: { role: "gateway" } });
  try {
    const flags = readFlags(commandLine);
    if (flags.isHelp) {
      process.stdout.write(helpText());
      return 0;
    }
    log = createLog({ to: flags.logTo, level: flags.logLevel, fields: { role: "gateway" } });
    const { values } = await loadConfig({
      schema: gatewayConfigSchema,
      file: flags.configPath,
      environment: process.env,
      flags: flags.keys,
    });
    return await run(values, log);
  } catch (error) {
    if (!isAshlarError(error)) throw error;
    const hint = error.hint === undefined ? {} : { hint: error.hint };
    log.error(error.message, { code: error.code, ...hint, error });
    return ERROR_CODES[error.code].exitStatus;
  }
}

async function run(config: GatewayConfig, log: Log): Promise<number> {
  const metrics = new PrometheusMetrics();
  metrics.addProcessMetrics();
  const clock = new SystemClock();
  const { hasher } = createHasher();
  const random = new SystemRandom();
  const env = { clock, random, network: new TcpNetwork(), hasher, log, metrics };
  const stop = new AbortController();
  using _watch = watchProcess({
    log,
    onStop: () => stop.abort(),
    exit: (exitStatus) => process.exit(exitStatus),
  });
  const { masters, clusterId } = await clusterAddress(config);
  await using fileSystem = await connect({
    masters,
    ...(clusterId === null ? {} : { clusterId }),
    clientName: "gateway",
    timeoutMs: config.timeoutMs,
    env,
    signal: stop.signal,
  });
  await using gateway = await startGateway(config, {
    files: fileSystem,
    clock,
    log,
    metrics,
    scrape: () => metrics.scrape(),
  });
  log.info("Gateway is ready", { address: gateway.address });
  if (!stop.signal.aborted) await stopped(stop.signal);
  // What hangs (a client, a master) must not hold up the stop.
  const deadline = setTimeout(() => {
    log.warn("Stopped before everything under way had ended");
    process.exit(0);
  }, config.stopGraceMs + STOP_SLACK_MS);
  deadline.unref();
  return 0;
}

function stopped(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

async function clusterAddress({ cluster }: GatewayConfig): Promise<ClusterAddress> {
  if (cluster !== undefined) return parseClusterAddress(cluster, "--cluster");
  const { values, path } = await loadUserConfig();
  if (values.cluster === undefined) throw noClusterSet();
  return parseClusterAddress(values.cluster, `"cluster" in ${path}`);
}

interface Flags {
  readonly isHelp: boolean;
  readonly configPath: string | null;
  readonly logTo: string;
  readonly logLevel: LogLevel;
  /** Config keys, as text. */
  readonly keys: Readonly<Record<string, string | undefined>>;
}

/** `--config FILE`, `--log-to`, `--log-level`, `--help`, and every key of the config as a flag. */
function readFlags(commandLine: readonly string[]): Flags {
  const keys = Object.keys(gatewayConfigSchema.entries);
  const values = parseFlags(commandLine, keys);
  const text = (name: string): string | undefined => {
    const value = values[name];
    return typeof value === "string" ? value : undefined;
  };
  return {
    isHelp: values["help"] === true,
    configPath: text("config") ?? null,
    logTo: text("log-to") ?? "stderr",
    logLevel: parseLogLevel(text("log-level") ?? process.env["ASHLAR_LOG_LEVEL"] ?? "info"),
    keys: Object.fromEntries(keys.map((key) => [key, text(flagNameOf(key).slice(2))])),
  };
}

function parseFlags(
  commandLine: readonly string[],
  keys: readonly string[],
): Readonly<Record<string, unknown>> {
  const text = { type: "string" } as const;
  const options = {
    ...Object.fromEntries(keys.map((key) => [flagNameOf(key).slice(2), text])),
    config: text,
    "log-to": text,
    "log-level": text,
    help: { type: "boolean" },
  } as const;
  try {
    return parseArgs({ args: [...commandLine], options, strict: true }).values;
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new AshlarError("INVALID_ARGUMENT", `Cannot read the command line: ${problem}`, {
      cause,
      hint: "ashlar gateway --help lists the flags",
    });
  }
}

function parseLogLevel(text: string): LogLevel {
  if (LOG_LEVELS.includes(text)) return text as LogLevel;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use --log-level: expected ${LOG_LEVELS.join(", ")}: current value is "${text}"`,
  );
}

function helpText(): string {
  const flags = Object.keys(gatewayConfigSchema.entries).map((key) => `  ${flagNameOf(key)}`);
  return [
    "Usage: ashlar gateway --cluster DIRECTORY|HOST:PORT,… [flags]",
    "",
    "Serves the files of a cluster over HTTP: GET, PUT, POST and DELETE below /files/,",
    "and a page to browse and upload. It knows no users: who reaches it may do anything.",
    "",
    "Examples:",
    "  ashlar gateway --cluster /tmp/five",
    "      http://127.0.0.1:7480/ in a browser",
    "  curl -T report.pdf http://127.0.0.1:7480/files/docs/report.pdf",
    "  curl -r 0-99 http://127.0.0.1:7480/files/docs/report.pdf",
    "",
    "Every flag is a key of the config file (--config FILE, TOML) and of the environment",
    "(--stall-timeout-ms is ASHLAR_STALL_TIMEOUT_MS); client/gateway/config.ts describes them.",
    "",
    ...flags,
    "  --config FILE",
    "  --log-to stdout|stderr|FILE",
    `  --log-level ${LOG_LEVELS.join("|")}`,
    "",
  ].join("\n");
}
