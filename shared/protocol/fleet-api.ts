import * as v from "valibot";
import { serverLocationSchema } from "./intent.ts";
import { defineCall } from "./method.ts";
import {
  addressSchema,
  bytesSchema,
  chunkIdSchema,
  clusterIdSchema,
  countSchema,
  logIndexSchema,
  memberIdSchema,
  serverIdSchema,
  shortTextSchema,
  termSchema,
  timeMsSchema,
} from "./schemas.ts";

/** What chunkservers report to the leader, and what anybody may ask about the cluster. */

const spaceSchema = v.object({
  totalBytes: countSchema,
  /** What new chunks may still take: free space less the reserve. */
  availableBytes: countSchema,
  usedBytes: countSchema,
});

/** Sent first on every connection to a leader. Becomes an entry if anything in it is new. */
export const register = defineCall(
  "fleet.register",
  v.object({
    server: serverLocationSchema,
    clusterId: v.nullable(clusterIdSchema),
    space: spaceSchema,
  }),
  v.object({
    clusterId: clusterIdSchema,
    /** Key of intents and receipts. */
    chunkKey: bytesSchema(32),
    heartbeatIntervalMs: countSchema,
  }),
);

export const orderSchema = v.variant("kind", [
  /** Pull the chunk from a source, verify it, seal it, report it as copied. */
  v.object({
    kind: v.literal("copy"),
    chunkId: chunkIdSchema,
    lengthBytes: countSchema,
    sources: v.array(serverLocationSchema),
    /** Stands for the intent of the copy. */
    intentIndex: logIndexSchema,
  }),
  /** Delete the copy if it was written under an intent older than `purgeIndex`; report it as purged. */
  v.object({ kind: v.literal("purge"), chunkId: chunkIdSchema, purgeIndex: logIndexSchema }),
]);
export type Order = v.InferOutput<typeof orderSchema>;

export const heartbeat = defineCall(
  "fleet.heartbeat",
  v.object({
    serverId: serverIdSchema,
    space: spaceSchema,
    /** It takes no more writes until it is restarted. Not said by versions that do not tell. */
    isDiskFailed: v.optional(v.boolean(), false),
    chunkCount: countSchema,
    /** Writes and copies under way: placement prefers idle servers. */
    activeWrites: countSchema,
    /** What happened since the last heartbeat that was answered. Repeated until it is. */
    copied: v.array(v.object({ chunkId: chunkIdSchema, intentIndex: logIndexSchema })),
    copyFailed: v.array(
      v.object({ chunkId: chunkIdSchema, reason: v.pipe(v.string(), v.maxLength(1000)) }),
    ),
    /** Copies that are rotten or gone: they no longer count. */
    lost: v.array(v.object({ chunkId: chunkIdSchema, reason: shortTextSchema })),
    purged: v.array(v.object({ chunkId: chunkIdSchema, purgeIndex: logIndexSchema })),
  }),
  v.object({ orders: v.array(orderSchema) }),
);
export type HeartbeatRequest = ReturnType<(typeof heartbeat)["parseRequest"]>;

/** The last heartbeat of a server that is being stopped in good order. */
export const goodbye = defineCall(
  "fleet.goodbye",
  v.object({ serverId: serverIdSchema }),
  v.object({}),
);

/**
 * What becomes of chunks that were sealed but never seen in a commit. `unknown` is final: no commit
 * under that intent can succeed any more, so the copy may go. `undecided`: ask again later.
 */
export const confirmChunks = defineCall(
  "fleet.confirm-chunks",
  v.object({
    serverId: serverIdSchema,
    chunks: v.pipe(
      v.array(v.object({ chunkId: chunkIdSchema, intentIndex: logIndexSchema })),
      v.maxLength(10_000),
    ),
  }),
  v.object({ verdicts: v.array(v.picklist(["known", "unknown", "undecided"])) }),
);

// Status -------------------------------------------------------------------------------------

export const masterStatusSchema = v.object({
  memberId: memberIdSchema,
  address: addressSchema,
  role: v.picklist(["leader", "follower", "candidate", "learner", "unreachable"]),
  term: termSchema,
  lastIndex: logIndexSchema,
  committedIndex: logIndexSchema,
  appliedIndex: logIndexSchema,
});

const chunkserverStatusSchema = v.object({
  ...serverLocationSchema.entries,
  state: v.picklist(["live", "suspect", "dead", "stopped"]),
  /** Its disk refused a write: it serves what it has and takes nothing. */
  isDiskFailed: v.optional(v.boolean(), false),
  space: spaceSchema,
  chunkCount: countSchema,
  lastHeardMsAgo: v.nullable(countSchema),
});

const healthSchema = v.object({
  /** `ok`: whole. `degraded`: all data is there, something is missing or below its copies. `critical`: some data cannot be read or nothing can be written. */
  word: v.picklist(["ok", "degraded", "critical"]),
  reasons: v.array(v.string()),
});

export const status = defineCall(
  "fleet.status",
  v.object({}),
  v.object({
    clusterId: clusterIdSchema,
    index: logIndexSchema,
    masters: v.array(masterStatusSchema),
    chunkservers: v.array(chunkserverStatusSchema),
    health: healthSchema,
    namespace: v.object({
      fileCount: countSchema,
      directoryCount: countSchema,
      chunkCount: countSchema,
      /** Bytes of the files as their owners see them. */
      logicalBytes: countSchema,
      /** Chunks with fewer live copies than wanted, and of these those with none. */
      chunksUnderReplicated: countSchema,
      chunksLost: countSchema,
      /** Copies of removed chunks that servers have still to delete. */
      purgesPending: countSchema,
    }),
    history: v.object({
      /** Superseded records, replaced contents and removed files or trees that are kept. */
      versions: countSchema,
      versionsMax: countSchema,
      /** How long they are kept, and the oldest state that can be read. */
      retentionMs: countSchema,
      oldestIndex: logIndexSchema,
      oldestTimeMs: timeMsSchema,
    }),
  }),
);
export type ClusterStatus = ReturnType<(typeof status)["parseResponse"]>;

/** This member's own view; any member answers. */
export const memberStatus = defineCall(
  "fleet.member-status",
  v.object({}),
  v.object({
    member: masterStatusSchema,
    leaderAddress: v.nullable(addressSchema),
    /** Where all masters are, as far as this one knows. */
    masters: v.optional(v.array(addressSchema), []),
    /** Not said by versions that know the first feature level only. */
    state: v.optional(
      v.object({
        /** What the program supports, not what the cluster is at. */
        featureLevelMax: countSchema,
        /** Its state hashes at the last checkpoints. */
        marks: v.array(v.object({ index: logIndexSchema, stateHash: bytesSchema(16) })),
      }),
    ),
  }),
);
