import * as v from "valibot";
import { addressSchema } from "../../shared/protocol/schemas.ts";

const MIB = 1024 * 1024;
const TIB = 1024 * 1024 * MIB;

const bytesSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const durationMsSchema = v.pipe(v.number(), v.integer(), v.minValue(1));
/** Node cannot hold a longer timeout of a socket. */
const SOCKET_TIMEOUT_MS_MAX = 24 * 24 * 3_600_000;
const countSchema = v.pipe(v.number(), v.integer(), v.minValue(1));

/** Config keys of a gateway, read at its start. Unknown keys are errors. */
export const gatewayConfigSchema = v.strictObject({
  /**
   * Address of the HTTP server. The gateway has no authentication: every client has full access.
   */
  listen: v.optional(addressSchema, "127.0.0.1:7480"),
  /**
   * A directory made by `ashlar cluster up`, or HOST:PORT,… of masters. Default: the setting
   * `cluster` in the config file of the CLI.
   */
  cluster: v.optional(v.string()),
  /** Host names, in addition to localhost, of a gateway that listens on the loopback. */
  hostNames: v.optional(v.array(v.string()), []),
  /** Largest file that can be uploaded, in bytes. */
  fileBytesMax: v.optional(bytesSchema, 4 * TIB),
  /** Most files in one form. Beyond it the form is refused with TOO_LARGE. */
  formFilesMax: v.optional(countSchema, 1_000),
  /** Most open client connections. Beyond it connections are answered with 503. */
  connectionsMax: v.optional(countSchema, 1_024),
  /** Most open connections of one client. Beyond it connections are answered with 429. */
  connectionsPerClientMax: v.optional(countSchema, 256),
  /**
   * Most bodies in transfer at the same time, uploads and downloads together. A download whose
   * client does not read does not count. Beyond it requests wait a short time and are then answered
   * with 503. This bounds memory.
   */
  transfersMax: v.optional(countSchema, 32),
  /**
   * Most bodies in transfer of one client at the same time. Beyond it requests wait a short time and
   * are then answered with 429. A client is an IPv4 address or an IPv6 network of 64 bits.
   */
  transfersPerClientMax: v.optional(countSchema, 16),
  /** Time that a request waits for a free transfer slot before it is refused. */
  transferWaitMs: v.optional(durationMsSchema, 3_000),
  /** Largest directory that is listed in another order than by name, in entries. */
  sortEntriesMax: v.optional(countSchema, 100_000),
  /** Read-ahead of each download, in bytes. */
  readAheadBytesMax: v.optional(bytesSchema, 4 * MIB),
  /** Timeout of one call to the masters, retries included. */
  timeoutMs: v.optional(durationMsSchema, 30_000),
  /** Stall timeout: a request is aborted after this time without progress. */
  stallTimeoutMs: v.optional(
    v.pipe(durationMsSchema, v.maxValue(SOCKET_TIMEOUT_MS_MAX, "expected at most 24 days")),
    60_000,
  ),
  /** Duration for which a graceful stop waits for the requests in progress. */
  stopGraceMs: v.optional(durationMsSchema, 10_000),
});

/** Configuration with the defaults filled in. */
export type GatewayConfig = v.InferOutput<typeof gatewayConfigSchema>;

/** Help text of each key, one line each. */
export const GATEWAY_CONFIG_HELP: Readonly<Record<keyof GatewayConfig, string>> = {
  listen: "address of the HTTP server (127.0.0.1:7480)",
  cluster: "a directory made by `cluster up`, or HOST:PORT,… (default: the CLI's setting)",
  hostNames: "host names of a gateway on the loopback, in addition to localhost",
  fileBytesMax: "largest file that can be uploaded (4TiB)",
  formFilesMax: "most files in one form (1000)",
  connectionsMax: "most open client connections (1024)",
  connectionsPerClientMax: "most open connections of one client address (256)",
  transfersMax: "most uploads and downloads at the same time (32)",
  transfersPerClientMax: "most uploads and downloads of one client address (16)",
  transferWaitMs: "how long a request waits for a free transfer slot (3s)",
  sortEntriesMax: "largest directory that is sorted by size or time (100000)",
  readAheadBytesMax: "read-ahead of each download (4MiB)",
  timeoutMs: "timeout of one call to the masters (30s)",
  stallTimeoutMs: "time without progress after which a request is aborted (60s)",
  stopGraceMs: "how long a graceful stop waits for requests in progress (10s)",
};
