import * as v from "valibot";
import { AshlarError } from "../shared/base/errors.ts";
import { JOIN_TOKEN_LENGTH_MAX } from "../shared/protocol/enrolment-api.ts";
import { addressSchema, clusterIdSchema, serverIdSchema } from "../shared/protocol/schemas.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

const RESERVE_BYTES_MAX_DEFAULT = 5 * GIB;
const RESERVE_SHARE_DEFAULT = 0.05;

const bytesCountSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** Configuration of one chunkserver process, read at its start. Unknown keys are errors. */
export const chunkserverConfigSchema = v.strictObject({
  /** Directory of the chunks, the index and the identity. One chunkserver on one disk. */
  dataDir: v.pipe(v.string(), v.minLength(1)),
  /** Addresses of one or more masters of the cluster. */
  masters: v.pipe(v.array(addressSchema), v.minLength(1), v.maxLength(16)),
  /** Address on which this server accepts internal connections of clients and chunkservers. */
  listen: v.optional(addressSchema, "127.0.0.1:7420"),
  /** Address reported to the masters. Default: `listen`, with the host's name for a wildcard. */
  advertise: v.optional(addressSchema),
  /** Address for health, metrics and counts over HTTP. Null disables the HTTP server. */
  http: v.optional(v.nullable(addressSchema), "127.0.0.1:7421"),
  /** Failure domain above the host. Replicas of a chunk are spread over racks and hosts. */
  rack: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(100)), "default"),
  /** Failure domain of the machine. Default: the host's name. */
  host: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(255))),
  /** Cluster of this disk. Default: the first cluster that this server registers with. */
  clusterId: v.optional(clusterIdSchema),
  /**
   * Join token with which a new server enrols. Needed until the server has enrolled. A secret: the
   * environment or a file is better than a flag, which other users of the machine can see. Empty: none.
   */
  joinToken: v.optional(v.pipe(v.string(), v.maxLength(JOIN_TOKEN_LENGTH_MAX))),
  /** Server id expected in `dataDir`. Detects a disk that is not mounted. */
  serverId: v.optional(serverIdSchema),
  /** Free space that new chunks must leave. Default: the smaller of 5 GiB and 5 % of the disk. */
  reserveBytes: v.optional(bytesCountSchema),
  /** Read rate of the scrub in bytes per second. 0 disables the scrub. */
  scrubBytesPerSecond: v.optional(bytesCountSchema, 20 * MIB),
  /**
   * Longest duration of a full scrub pass in days. It overrides `scrubBytesPerSecond`. A pass
   * starts at most once a day.
   */
  scrubPassDaysMax: v.optional(v.pipe(v.number(), v.minValue(0.001), v.maxValue(365)), 21),
  /** Memory for the bodies of all writes. A write above this limit waits. `WriteAdmission` has a least value. */
  writeBytesInFlightMax: v.optional(v.pipe(bytesCountSchema, v.minValue(4 * MIB)), 256 * MIB),
  /** Memory for the read buffers of all readers. Readers wait when the limit is reached. */
  readBytesInFlightMax: v.optional(v.pipe(bytesCountSchema, v.minValue(4 * MIB)), 64 * MIB),
  /** Copy orders of the master that run at the same time. */
  copiesAtOnceMax: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(64)), 4),
  /**
   * Time in milliseconds after which an operation of the disk hangs: the disk then counts as failed.
   * Longer than any sync of a busy disk takes.
   */
  diskTimeoutMs: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1_000)), 60_000),
  /** Time in milliseconds for which a graceful stop waits for the calls in progress. */
  stopGraceMs: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)), 10_000),
});

/** Configuration with the defaults filled in. */
export type ChunkserverConfig = v.InferOutput<typeof chunkserverConfigSchema>;

/** Help text of each key, one line each. */
export const CHUNKSERVER_CONFIG_HELP: Readonly<Record<keyof ChunkserverConfig, string>> = {
  dataDir: "directory of the chunks, the index and the identity: one directory, one disk",
  masters: "addresses of masters of the cluster: HOST:PORT,HOST:PORT,…",
  listen: "address for clients and other chunkservers (127.0.0.1:7420)",
  advertise: "the address reported to the masters (default: listen)",
  http: "health, metrics and counts over HTTP, or none (127.0.0.1:7421)",
  rack: "failure domain above the host (default)",
  host: "failure domain: the machine (default: its name)",
  clusterId: "the cluster this disk must belong to (default: the first it registers with)",
  joinToken: "of `ashlar server token`; needed only the first time",
  serverId: "the server id that dataDir must have",
  reserveBytes: "free space that new chunks leave (the smaller of 5GiB and 5 % of the disk)",
  scrubBytesPerSecond: "read rate of the scrub per second; 0: no scrub (20MiB)",
  scrubPassDaysMax: "longest duration of a full scrub pass in days; overrides the rate (21)",
  writeBytesInFlightMax: "memory for the bodies of writes (256MiB)",
  readBytesInFlightMax: "memory for read buffers (64MiB)",
  copiesAtOnceMax: "copy orders of the master that run at the same time (4)",
  diskTimeoutMs: "how long the disk may take for an operation before it counts as failed (60s)",
  stopGraceMs: "how long a graceful stop waits for the calls in progress (10s)",
};

/** @throws {AshlarError} INVALID_ARGUMENT with the key, the expected and the current value. */
export function parseChunkserverConfig(input: unknown): ChunkserverConfig {
  const result = v.safeParse(chunkserverConfigSchema, input, { abortEarly: true });
  if (result.success) return result.output;
  const issue = result.issues[0];
  const key = v.getDotPath(issue) ?? "";
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use config.${key}: ${issue.message}: current value is ${JSON.stringify(issue.input)}`,
  );
}

/** Returns the bytes that new chunks must leave free on a disk of `totalBytes`. */
export function reserveBytesFor(config: ChunkserverConfig, totalBytes: number): number {
  return (
    config.reserveBytes ??
    Math.min(RESERVE_BYTES_MAX_DEFAULT, Math.floor(totalBytes * RESERVE_SHARE_DEFAULT))
  );
}

/**
 * Returns the address that is reported to the masters. `listening` is the address with the port
 * that the server listens on.
 */
export function advertisedAddress(config: ChunkserverConfig, listening: string): string {
  if (config.advertise !== undefined) return config.advertise;
  const colon = listening.lastIndexOf(":");
  const isWildcard = ["0.0.0.0", "[::]", "::"].includes(listening.slice(0, colon));
  return isWildcard ? `${hostOf(config)}${listening.slice(colon)}` : listening;
}

/** Returns the name of the machine as a failure domain. */
export function hostOf(config: ChunkserverConfig): string {
  return config.host ?? "localhost";
}
