import * as v from "valibot";
import { AshlarError } from "../shared/base/errors.ts";
import type { MemberId } from "../shared/base/ids.ts";
import { clusterIdSchema } from "../shared/protocol/schemas.ts";
import type { MemberAddress } from "./consensus.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

const addressSchema = v.pipe(
  v.string(),
  v.regex(/^(\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+):\d{1,5}$/, "expected host:port"),
);
const countSchema = (minimum: number, maximum: number) =>
  v.pipe(v.number(), v.integer(), v.minValue(minimum), v.maxValue(maximum));
const durationMsSchema = countSchema(0, 366 * 24 * HOUR_MS);

/** What the members of a new cluster agree on. Used once, by its first leader. */
const newClusterEntries = {
  /** Copies of a chunk in the default storage class, and how many a commit needs at least. */
  defaultCopies: v.optional(countSchema(1, 9), 3),
  defaultCopiesMin: v.optional(countSchema(1, 9), 2),
  /** Racks that the copies span where there are so many. */
  defaultRacksMin: v.optional(countSchema(1, 9), 2),
  /** Files up to so many bytes live in the metadata. */
  inlineBytesMax: v.optional(countSchema(0, 64 * 1024), 4 * 1024),
  /** Old versions and removed files are kept so long. */
  historyRetentionMs: v.optional(durationMsSchema, 24 * HOUR_MS),
  /** The change feed loses its oldest events above this, also within the retention. */
  feedBytesMax: v.optional(countSchema(1024 * 1024, 1024 ** 4), 1024 ** 3),
  /** What was written and not committed within so long may be dropped. */
  intentLifetimeMs: v.optional(countSchema(1_000, 24 * HOUR_MS), 10 * MINUTE_MS),
  /** A client session that is silent for so long ends. */
  sessionIdleMsMax: v.optional(countSchema(1_000, 24 * HOUR_MS), 10 * MINUTE_MS),
};

/** What one machine may choose for its master, at a restart. Unknown keys are errors. */
export const masterConfigSchema = v.strictObject({
  /** Where the log, the state and the identity live. */
  dataDir: v.pipe(v.string(), v.minLength(1)),
  /** 32 hex digits, the same on every member: drawn once when the cluster is planned. */
  clusterId: clusterIdSchema,
  /**
   * This member's number, from 1. Another data directory counts under it only after the number was
   * removed and added again (docs/decisions/0005).
   */
  memberId: countSchema(1, 2 ** 31),
  /**
   * This member and others: "1=host:port". Of a new cluster all of them; later the log says who they
   * are, and these are where a member that knows nothing yet looks for the others.
   */
  members: v.pipe(
    v.array(v.pipe(v.string(), v.regex(/^\d+=[^=\s]+:\d{1,5}$/, "expected ID=HOST:PORT"))),
    v.minLength(1),
    v.maxLength(9),
  ),
  /** Founds nothing: waits until it is added to the cluster (`ashlar master add`). */
  join: v.optional(v.boolean(), false),
  /** Where this member listens. Default: its address in `members`. */
  listen: v.optional(addressSchema),
  /** Health, metrics and status over HTTP; null: none. */
  http: v.optional(v.nullable(addressSchema), null),
  /** How often the leader makes itself heard, and how long members wait before an election. */
  heartbeatIntervalMs: v.optional(countSchema(10, 10_000), 100),
  electionTimeoutMsMin: v.optional(countSchema(50, 60_000), 500),
  /** A chunkserver that is silent for so long gets no new chunks. */
  serverSuspectMs: v.optional(durationMsSchema, 2_000),
  /** … and is taken for dead. */
  serverDeadMs: v.optional(durationMsSchema, 10_000),
  /** The copies of a dead server are made anew after so long; after a graceful stop, so long. */
  repairDelayMs: v.optional(durationMsSchema, 20_000),
  repairDelayStoppedMs: v.optional(durationMsSchema, 30 * MINUTE_MS),
  /** Copies under way at a time: on one server, and in all. */
  repairCopiesPerServer: v.optional(countSchema(1, 64), 4),
  repairCopiesTotal: v.optional(countSchema(1, 1_024), 64),
  /** Share of chunkservers lost together above which repair waits for a person. */
  repairMassLossShare: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1)), 0.5),
  /** Members compare the hashes of their states so often. */
  checkpointIntervalMs: v.optional(countSchema(100, 24 * HOUR_MS), 30_000),
  /** Superseded records that the history keeps; where there are more the oldest go first. */
  historyVersionsMax: v.optional(countSchema(0, 1_000_000_000), 10_000_000),
  /** A graceful stop waits so long for what is in flight. */
  stopGraceMs: v.optional(durationMsSchema, 5_000),
  ...newClusterEntries,
});

/** A master's config and the backup that it is made from. */
export const restoreConfigSchema = v.strictObject({
  ...masterConfigSchema.entries,
  backup: v.pipe(v.string(), v.minLength(1)),
});

export type MasterConfig = v.InferOutput<typeof masterConfigSchema>;

/** One line for each key. */
export const MASTER_CONFIG_HELP: Readonly<Record<keyof MasterConfig, string>> = {
  dataDir: "where the log, the state and the identity live",
  clusterId: "32 hex digits, the same on every member",
  memberId: "this member's number, from 1",
  members: "the members, this one among them: 1=HOST:PORT,2=HOST:PORT,…",
  join: "true: wait to be added to a cluster that runs, instead of founding one",
  listen: "where to listen (default: its address in members)",
  http: "health and metrics over HTTP (default: none)",
  heartbeatIntervalMs: "how often the leader makes itself heard (100ms)",
  electionTimeoutMsMin: "silence before an election, at least (500ms)",
  serverSuspectMs: "silence before a chunkserver gets no new chunks (2s)",
  serverDeadMs: "silence before a chunkserver is taken for dead (10s)",
  repairDelayMs: "wait before a dead server's copies are made anew (20s)",
  repairDelayStoppedMs: "the same after a graceful stop (30m)",
  repairCopiesPerServer: "copies that one server makes at a time (4)",
  repairCopiesTotal: "copies under way in the cluster (64)",
  repairMassLossShare: "share of servers lost together above which repair waits (0.5)",
  checkpointIntervalMs: "how often the masters compare the hashes of their states (30s)",
  historyVersionsMax: "old versions and removed files that are kept, the newest (10000000)",
  stopGraceMs: "a graceful stop waits so long for what is in flight (5s)",
  defaultCopies: "new cluster: copies of a chunk (3)",
  defaultCopiesMin: "new cluster: copies that a commit needs at least (2)",
  defaultRacksMin: "new cluster: racks that the copies span (2)",
  inlineBytesMax: "new cluster: files up to so many bytes live in the metadata (4KiB)",
  historyRetentionMs: "new cluster: removed files and old versions are kept so long (24h)",
  feedBytesMax: "new cluster: what the change feed may take on a master's disk (1GiB)",
  intentLifetimeMs: "new cluster: uncommitted chunks are kept so long (10m)",
  sessionIdleMsMax: "new cluster: a silent client session ends after so long (10m)",
};

/** @throws {AshlarError} INVALID_ARGUMENT naming the key and its relation to another */
export function checkMasterConfig(config: MasterConfig): void {
  // Raft §5.6: broadcast time must be well below the election timeout, or elections never settle.
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
}

/** The members, in the order of the config. */
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
