import * as v from "valibot";
import { AshlarError } from "../shared/base/errors.ts";
import type { MemberId } from "../shared/base/ids.ts";
import { addressSchema, clusterIdSchema } from "../shared/protocol/schemas.ts";
import type { MemberAddress } from "./consensus.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

const countSchema = (minimum: number, maximum: number) =>
  v.pipe(v.number(), v.integer(), v.minValue(minimum), v.maxValue(maximum));
const durationMsSchema = countSchema(0, 366 * 24 * HOUR_MS);

/** Settings of a new cluster. Used once, by its first leader. */
const newClusterEntries = {
  /** Number of replicas of a chunk in the default storage class. */
  defaultCopies: v.optional(countSchema(1, 9), 3),
  /** Minimum number of sealed replicas at a commit, in the default storage class. */
  defaultCopiesMin: v.optional(countSchema(1, 9), 2),
  /** Racks that the replicas of a chunk span, if the cluster has enough racks. */
  defaultRacksMin: v.optional(countSchema(1, 9), 2),
  /** Files up to this size are stored in the metadata. */
  inlineBytesMax: v.optional(countSchema(0, 64 * 1024), 4 * 1024),
  /** Retention of replaced versions and removed files. */
  historyRetentionMs: v.optional(durationMsSchema, 24 * HOUR_MS),
  /**
   * Maximum size of the change feed. If it is exceeded, the oldest events are dropped, even within
   * the retention.
   */
  feedBytesMax: v.optional(countSchema(1024 * 1024, 1024 ** 4), 1024 ** 3),
  /** Chunks that are not committed within this time can be dropped. */
  intentLifetimeMs: v.optional(countSchema(1_000, 24 * HOUR_MS), 10 * MINUTE_MS),
  /** A client session expires after this time without activity. */
  sessionIdleMsMax: v.optional(countSchema(1_000, 24 * HOUR_MS), 10 * MINUTE_MS),
};

/** The config of one master. Changes take effect at a restart. Unknown keys are errors. */
export const masterConfigSchema = v.strictObject({
  /** Directory of the log, the state and the identity. */
  dataDir: v.pipe(v.string(), v.minLength(1)),
  /** 32 hex digits, the same on every member. The operator draws it once for a cluster. */
  clusterId: clusterIdSchema,
  /**
   * Number of this member, from 1. The cluster accepts another data directory with the same number
   * only after the member was removed and added again (docs/decisions/0005).
   */
  memberId: countSchema(1, 2 ** 31),
  /**
   * This member and others, each "ID=host:port". For a new cluster: all members. Later the log
   * contains the members, and only a member without a log uses this list to find the others.
   */
  members: v.pipe(
    v.array(v.pipe(v.string(), v.regex(/^\d+=[^=\s]+:\d{1,5}$/, "expected ID=HOST:PORT"))),
    v.minLength(1),
    v.maxLength(9),
  ),
  /** Whether this member waits until `ashlar master add` adds it, and does not found a cluster. */
  join: v.optional(v.boolean(), false),
  /**
   * Members of the config that cannot be started: the others found the cluster without them. Only on
   * the command line, once: in a config file it would let an emptied master found a second cluster.
   */
  foundWithout: v.optional(v.pipe(v.array(countSchema(1, 2 ** 31)), v.maxLength(8)), []),
  /** Address at which this member listens. Default: its address in `members`. */
  listen: v.optional(addressSchema),
  /** Address of the HTTP server for health and metrics. Null disables the HTTP server. */
  http: v.optional(v.nullable(addressSchema), null),
  /** Interval of the heartbeats of the leader. */
  heartbeatIntervalMs: v.optional(countSchema(10, 10_000), 100),
  /** Shortest election timeout. Each timeout is random, between this value and twice this value. */
  electionTimeoutMsMin: v.optional(countSchema(50, 60_000), 500),
  /** Silence after which a chunkserver receives no new chunks. */
  serverSuspectMs: v.optional(durationMsSchema, 2_000),
  /** Silence after which a chunkserver is considered dead. */
  serverDeadMs: v.optional(durationMsSchema, 10_000),
  /** Delay before repair of the replicas on a dead server. */
  repairDelayMs: v.optional(durationMsSchema, 20_000),
  /** Delay before repair of the replicas on a gracefully stopped server. */
  repairDelayStoppedMs: v.optional(durationMsSchema, 30 * MINUTE_MS),
  /** Maximum number of repair copies at the same time on one server. */
  repairCopiesPerServer: v.optional(countSchema(1, 64), 4),
  /**
   * Maximum number of repair copies at the same time in the cluster. Absent: two for each live
   * chunkserver, at least 64.
   */
  repairCopiesTotal: v.optional(countSchema(1, 100_000)),
  /** Share of dead chunkservers above which repair halts until an operator intervenes. */
  repairMassLossShare: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1)), 0.5),
  /** Interval in which the members compare the hashes of their states. */
  checkpointIntervalMs: v.optional(countSchema(100, 24 * HOUR_MS), 30_000),
  /**
   * Maximum number of superseded records in the history. If it is exceeded, the oldest are
   * reclaimed.
   */
  historyVersionsMax: v.optional(countSchema(0, 1_000_000_000), 10_000_000),
  /**
   * Size of the Raft log that stays on disk for masters that were away. It takes at most a quarter of
   * the space that the disk would have without it.
   */
  logKeptBytes: v.optional(countSchema(0, 1024 ** 4), 2 * 1024 ** 3),
  /** Maximum time for which a graceful stop waits for calls in flight. */
  stopGraceMs: v.optional(durationMsSchema, 5_000),
  ...newClusterEntries,
});

/** The config of a master, and the backup from which its data directory is created. */
export const restoreConfigSchema = v.strictObject({
  ...masterConfigSchema.entries,
  backup: v.pipe(v.string(), v.minLength(1)),
  /**
   * The id of the restore, which the restore of the first member has printed. Only on the command line: the
   * next restore has another one.
   */
  restoreId: v.optional(v.string()),
});

/** A parsed config. */
export type MasterConfig = v.InferOutput<typeof masterConfigSchema>;
/** A parsed config of a restore. */
export type RestoreConfig = Omit<v.InferOutput<typeof restoreConfigSchema>, "backup">;

/** One line of help for each key. */
export const MASTER_CONFIG_HELP: Readonly<Record<keyof MasterConfig, string>> = {
  dataDir: "directory of the log, the state and the identity",
  clusterId: "32 hex digits, the same on every member",
  memberId: "number of this member, from 1",
  members: "the members, this one among them: 1=HOST:PORT,2=HOST:PORT,…",
  join: "true: wait to be added to a running cluster, do not found one",
  foundWithout:
    "new cluster: found it without these members of the config, for instance 3 (flag only)",
  listen: "address to listen at (default: the address of this member in members)",
  http: "health and metrics over HTTP (default: none)",
  heartbeatIntervalMs: "interval of heartbeats of the leader (100ms)",
  electionTimeoutMsMin: "shortest silence of the leader before an election (500ms)",
  serverSuspectMs: "silence after which a chunkserver receives no new chunks (2s)",
  serverDeadMs: "silence after which a chunkserver is considered dead (10s)",
  repairDelayMs: "delay before repair of the replicas on a dead chunkserver (20s)",
  repairDelayStoppedMs: "the same for a gracefully stopped chunkserver (30m)",
  repairCopiesPerServer: "repair copies at the same time on one chunkserver (4)",
  repairCopiesTotal:
    "repair copies at the same time in the cluster (2 per live chunkserver, 64 or more)",
  repairMassLossShare: "share of dead chunkservers above which repair halts (0.5)",
  checkpointIntervalMs: "interval in which the masters compare the hashes of their states (30s)",
  historyVersionsMax: "largest number of old versions and removed files in the history (10000000)",
  logKeptBytes: "size of the log that stays on disk for masters that were away (2GiB)",
  stopGraceMs: "longest time that a graceful stop waits for calls in flight (5s)",
  defaultCopies: "new cluster: replicas of a chunk (3)",
  defaultCopiesMin: "new cluster: smallest number of replicas at a commit (2)",
  defaultRacksMin: "new cluster: racks that the replicas span (2)",
  inlineBytesMax: "new cluster: files up to this size are stored in the metadata (4KiB)",
  historyRetentionMs: "new cluster: retention of removed files and old versions (24h)",
  feedBytesMax: "new cluster: largest size of the change feed on a master (1GiB)",
  intentLifetimeMs: "new cluster: time until uncommitted chunks can be dropped (10m)",
  sessionIdleMsMax: "new cluster: time until an inactive client session expires (10m)",
};

/**
 * Checks the constraints between settings.
 *
 * @param origins the source of each value
 * @throws {AshlarError} INVALID_ARGUMENT with the key and its constraint
 */
export function checkMasterConfig(
  config: MasterConfig,
  origins: Readonly<Record<string, { readonly kind: string }>> = {},
): void {
  // Raft §5.6: the broadcast time must be well below the election timeout. Otherwise elections
  // would depose working leaders.
  if (config.electionTimeoutMsMin < 3 * config.heartbeatIntervalMs) {
    throw invalid("electionTimeoutMsMin", "expected at least 3 * heartbeatIntervalMs");
  }
  if (config.defaultCopiesMin > config.defaultCopies) {
    throw invalid("defaultCopiesMin", "expected at most defaultCopies");
  }
  const ids = membersOf(config).map((member) => member.id);
  if (new Set(ids).size !== ids.length) throw invalid("members", "expected each number once");
  if (!ids.includes(config.memberId as MemberId)) {
    throw invalid("members", `expected member ${config.memberId} (memberId) among them`);
  }
  checkFoundWithout(config);
  checkIsFlag("foundWithout", origins);
}

/**
 * Checks the constraints between settings of a restore.
 *
 * @throws {AshlarError} INVALID_ARGUMENT with the key and its constraint
 */
export function checkRestoreConfig(
  config: RestoreConfig,
  origins: Readonly<Record<string, { readonly kind: string }>> = {},
): void {
  checkMasterConfig(config, origins);
  checkIsFlag("restoreId", origins);
}

/** Checks a setting that is valid for one start only. */
function checkIsFlag(
  key: string,
  origins: Readonly<Record<string, { readonly kind: string }>>,
): void {
  const origin = origins[key]?.kind ?? "flag";
  if (origin === "file" || origin === "environment") {
    throw invalid(key, `expected it on the command line: it is set in the ${origin}`);
  }
}

function checkFoundWithout(config: MasterConfig): void {
  const ids = membersOf(config).map((member) => member.id);
  const isOther = (id: number): boolean => id !== config.memberId && ids.includes(id as MemberId);
  if (!config.foundWithout.every(isOther)) {
    throw invalid("foundWithout", "expected numbers of other members");
  }
}

/** Returns the members in the order of the config. */
export function membersOf(config: MasterConfig): MemberAddress[] {
  return config.members.map((text) => {
    const equals = text.indexOf("=");
    const id = Number(text.slice(0, equals)) as MemberId;
    return { id, address: text.slice(equals + 1) };
  });
}

function invalid(key: string, problem: string): AshlarError {
  return new AshlarError("INVALID_ARGUMENT", `Cannot use config.${key}: ${problem}`);
}
