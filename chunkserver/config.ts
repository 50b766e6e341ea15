import * as v from "valibot";
import { AshlarError } from "../shared/base/errors.ts";
import { clusterIdSchema, serverIdSchema } from "../shared/protocol/schemas.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

const RESERVE_BYTES_MAX_DEFAULT = 5 * GIB;
const RESERVE_SHARE_DEFAULT = 0.05;

const addressSchema = v.pipe(
  v.string(),
  v.regex(/^(\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+):\d{1,5}$/, "expected host:port"),
);

const bytesCountSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** What one machine may choose for its chunkserver, at a restart. Unknown keys are errors. */
export const chunkserverConfigSchema = v.strictObject({
  /** Where chunks, index and identity live. One directory, one disk, one chunkserver. */
  dataDir: v.pipe(v.string(), v.minLength(1)),
  /** Masters of the cluster, any of them. */
  masters: v.pipe(v.array(addressSchema), v.minLength(1), v.maxLength(16)),
  /** Where clients and other chunkservers reach this one over the internal wire. */
  listen: v.optional(addressSchema, "127.0.0.1:7420"),
  /** The address that others are told. Default: `listen`, with the host's name for a wildcard. */
  advertise: v.optional(addressSchema),
  /** Health, metrics and counts over HTTP; null: none. */
  http: v.optional(v.nullable(addressSchema), "127.0.0.1:7421"),
  /** Failure domains: copies of a chunk are spread over racks and hosts. Default: the host's name. */
  rack: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(100)), "default"),
  host: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(255))),
  /** The cluster this disk belongs to. Default: the first one that it registers with. */
  clusterId: v.optional(clusterIdSchema),
  /** The disk that must be in `dataDir`: guards against a disk that is not mounted. */
  serverId: v.optional(serverIdSchema),
  /** Free space that new chunks leave. Default: 5 GiB or 5 % of the disk, what is less. */
  reserveBytes: v.optional(bytesCountSchema),
  /** How fast the scrub re-reads everything, in bytes a second; 0: no scrub. */
  scrubBytesPerSecond: v.optional(bytesCountSchema, 20 * MIB),
  /** A full pass takes no longer than this, whatever the rate. Passes begin at most once a day. */
  scrubPassDaysMax: v.optional(v.pipe(v.number(), v.minValue(0.001), v.maxValue(365)), 21),
  /** Bodies of writes that are held in memory, over all writes. Above it new writes are OVERLOADED. */
  writeBytesInFlightMax: v.optional(v.pipe(bytesCountSchema, v.minValue(4 * MIB)), 256 * MIB),
  /** Buffers for reads, over all readers; readers wait for one another above it. */
  readBytesInFlightMax: v.optional(v.pipe(bytesCountSchema, v.minValue(4 * MIB)), 64 * MIB),
  /** Copies that the master ordered, at a time. */
  copiesAtOnceMax: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(64)), 4),
  /** A graceful stop waits so long for what is in flight. */
  stopGraceMs: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)), 10_000),
});

export type ChunkserverConfig = v.InferOutput<typeof chunkserverConfigSchema>;

/** One line for each key. */
export const CHUNKSERVER_CONFIG_HELP: Readonly<Record<keyof ChunkserverConfig, string>> = {
  dataDir: "where chunks, index and identity live: one directory, one disk",
  masters: "masters of the cluster, any of them: HOST:PORT,HOST:PORT,…",
  listen: "where clients and other chunkservers reach this one (127.0.0.1:7420)",
  advertise: "the address that others are told (default: listen)",
  http: "health, metrics and counts over HTTP, or none (127.0.0.1:7421)",
  rack: "failure domain above the host (default)",
  host: "failure domain: the machine (default: its name)",
  clusterId: "the cluster this disk must belong to (default: the first it registers with)",
  serverId: "the disk that must be in dataDir",
  reserveBytes: "free space that new chunks leave (5GiB or 5 % of the disk, the smaller)",
  scrubBytesPerSecond: "how fast the scrub re-reads everything; 0: never (20MiB)",
  scrubPassDaysMax: "a full pass takes no longer than this (21)",
  writeBytesInFlightMax: "bodies of writes in memory (256MiB)",
  readBytesInFlightMax: "buffers for reads (64MiB)",
  copiesAtOnceMax: "copies that the master ordered, at a time (4)",
  stopGraceMs: "a graceful stop waits so long for what is in flight (10s)",
};

/** @throws {AshlarError} INVALID_ARGUMENT naming the key, what is wanted and what is there. */
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

/** Bytes that new chunks must leave free on a disk of `totalBytes`. */
export function reserveBytesFor(config: ChunkserverConfig, totalBytes: number): number {
  return (
    config.reserveBytes ??
    Math.min(RESERVE_BYTES_MAX_DEFAULT, Math.floor(totalBytes * RESERVE_SHARE_DEFAULT))
  );
}

/** The address that others are told, once the port that `listen` took is known. */
export function advertisedAddress(config: ChunkserverConfig, listening: string): string {
  if (config.advertise !== undefined) return config.advertise;
  const colon = listening.lastIndexOf(":");
  const isWildcard = ["0.0.0.0", "[::]", "::"].includes(listening.slice(0, colon));
  return isWildcard ? `${hostOf(config)}${listening.slice(colon)}` : listening;
}

export function hostOf(config: ChunkserverConfig): string {
  return config.host ?? "localhost";
}
