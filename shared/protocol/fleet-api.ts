import * as v from "valibot";
import { capabilitiesSchema } from "./capabilities.ts";
import { chunkKeysSchema } from "./chunk-keys.ts";
import { JOIN_TOKEN_LENGTH_MAX } from "./enrolment-api.ts";
import { serverLocationSchema } from "./intent.ts";
import { defineCall, REQUEST_WORK_MAX } from "./method.ts";
import { ANY_ROLE, BY_CHUNKSERVERS, BY_OPERATORS } from "./roles.ts";
import {
  addressSchema,
  bytesSchema,
  chunkIdSchema,
  clusterIdSchema,
  countSchema,
  digestSchema,
  diskFullSchema,
  logIndexSchema,
  memberIdSchema,
  refusalSchema,
  serverIdSchema,
  shortTextSchema,
  shownTimeMsSchema,
  termSchema,
  timeMsSchema,
} from "./schemas.ts";

/* Reports of chunkservers to the leader, and the status of the cluster. */

/** Largest number of elements in one list of a report, and of those that a chunkserver sends. */
const REPORTS_MAX = 10_000;
export const REPORTS_SENT_MAX = 1_000;
/** Largest number of unreadable copies in a heartbeat: the leader looks up the other copies of each. */
export const UNREADABLE_MAX = 100;
/** Longest heartbeat: lists of REPORTS_SENT_MAX with the longest reasons. */
const HEARTBEAT_BYTES_MAX = 8 * 1024 * 1024;
/** Longest `fleet.confirm-chunks`: REPORTS_MAX chunk ids with their indexes. */
const CONFIRM_BYTES_MAX = 2 * 1024 * 1024;

/** Largest number of chunks in `fleet.find-copies`: its turn takes a few milliseconds. */
export const FIND_COPIES_MAX = 200;

/** A list of a report. */
const reportsOf = <Item extends v.GenericSchema>(item: Item) =>
  v.pipe(v.array(item), v.maxLength(REPORTS_MAX));

const spaceSchema = v.object({
  totalBytes: countSchema,
  /** Bytes available for new chunks: free space minus the reserve. */
  availableBytes: countSchema,
  usedBytes: countSchema,
  /**
   * Name of the file system among those of the machine. Servers with one host and one name share
   * their space. Absent in old versions.
   */
  diskId: v.optional(shortTextSchema),
});

/** The proof of a chunkserver. */
const proofSchema = v.object({
  /** The credential that it got when it enrolled. Null before. */
  credential: v.nullable(digestSchema),
  /** A join token. */
  token: v.nullable(v.pipe(v.string(), v.maxLength(JOIN_TOKEN_LENGTH_MAX))),
});

/**
 * Registers a chunkserver. It is the first call on every connection to a leader. The leader
 * proposes a log entry if the chunkserver is new or its location has changed. Refused with NOT_ENROLLED
 * without a credential or a valid token, unless the enrolment is open.
 */
export const register = defineCall(
  "fleet.register",
  BY_CHUNKSERVERS,
  v.object({
    server: serverLocationSchema,
    clusterId: v.nullable(clusterIdSchema),
    space: spaceSchema,
    /** Absent in old versions. */
    capabilities: v.optional(capabilitiesSchema),
    /** Absent in old versions, which cannot enrol. */
    proof: v.optional(proofSchema),
  }),
  v.object({
    clusterId: clusterIdSchema,
    /** MAC key with which new intents are signed. */
    chunkKey: bytesSchema(32),
    heartbeatIntervalMs: countSchema,
    /** Absent below feature level 13: `chunkKey` is the only version. */
    chunkKeys: v.optional(chunkKeysSchema),
    /** Changes with a restore from a backup only. Absent below feature level 13. */
    restoreId: v.optional(digestSchema),
    /** The credential of the server, if its proof had no valid one. It stores it and registers again. */
    credential: v.optional(digestSchema),
  }),
);

/** An order of the leader to a chunkserver. */
export const orderSchema = v.variant("kind", [
  /** Copy the chunk from a source, verify it, seal it, and report it in `copied`. */
  v.object({
    kind: v.literal("copy"),
    chunkId: chunkIdSchema,
    lengthBytes: countSchema,
    sources: v.array(serverLocationSchema),
    /** Index under which the copy is sealed, as the index of an intent. */
    intentIndex: logIndexSchema,
  }),
  /** Delete the replica if its intent is older than `purgeIndex`, and report it in `purged`. */
  v.object({ kind: v.literal("purge"), chunkId: chunkIdSchema, purgeIndex: logIndexSchema }),
]);
export type Order = v.InferOutput<typeof orderSchema>;

/** A replica that the disk cannot read. */
const unreadableSchema = v.object({
  chunkId: chunkIdSchema,
  reason: shortTextSchema,
  intentIndex: logIndexSchema,
});

/** Reports the state of a chunkserver. The response contains orders. */
export const heartbeat = {
  requestBytesMax: HEARTBEAT_BYTES_MAX,
  requestWorkMax: REQUEST_WORK_MAX,
  ...defineCall(
    "fleet.heartbeat",
    BY_CHUNKSERVERS,
    v.object({
      serverId: serverIdSchema,
      space: spaceSchema,
      /** Whether the disk failed: the server refuses writes until its restart. Absent in old versions. */
      isDiskFailed: v.optional(v.boolean(), false),
      /** Replicas that the disk could not read at their last read. Absent in old versions. */
      unreadableCount: v.optional(countSchema),
      chunkCount: countSchema,
      /** The versions of the chunk key that the server has. Absent in old versions. */
      chunkKeyVersions: v.optional(v.pipe(v.array(countSchema), v.maxLength(16))),
      /** Writes and copies in progress. Placement prefers idle servers. */
      activeWrites: countSchema,
      /**
       * Copies made since the last answered heartbeat. The elements of this list, of `copyFailed`, `lost` and
       * `purged` are sent again until a heartbeat that contains them is answered.
       */
      copied: reportsOf(v.object({ chunkId: chunkIdSchema, intentIndex: logIndexSchema })),
      copyFailed: reportsOf(
        v.object({ chunkId: chunkIdSchema, reason: v.pipe(v.string(), v.maxLength(1000)) }),
      ),
      /** Replicas that are corrupt or missing. The leader no longer counts them as replicas. */
      lost: reportsOf(
        v.object({
          chunkId: chunkIdSchema,
          reason: shortTextSchema,
          /** Intent of the lost replica. A replica that was sealed later stays. Absent in old versions. */
          intentIndex: v.optional(logIndexSchema),
        }),
      ),
      /**
       * Replicas that the disk cannot read, and that the server keeps. The leader stops counting one
       * if it has another live replica (decision 25). Sent again once a minute. Absent in old versions.
       */
      unreadable: v.optional(v.pipe(v.array(unreadableSchema), v.maxLength(UNREADABLE_MAX))),
      purged: reportsOf(v.object({ chunkId: chunkIdSchema, purgeIndex: logIndexSchema })),
    }),
    v.object({
      orders: v.array(orderSchema),
      /** The versions of the chunk key, if the server has others. */
      chunkKeys: v.optional(chunkKeysSchema),
      /**
       * The intent floor before the leader recorded the reports. No commit under an older intent can
       * succeed after them. A loss under a newer intent is reported again: a commit may still record the
       * lost replica. Absent in old versions, and below feature level 5.
       */
      intentFloor: v.optional(logIndexSchema),
      /** Whether the server should enrol: it registers again. */
      enrol: v.optional(v.boolean(), false),
    }),
  ),
};
export type HeartbeatRequest = ReturnType<(typeof heartbeat)["parseRequest"]>;

/** Announces a graceful stop of a chunkserver. */
export const goodbye = defineCall(
  "fleet.goodbye",
  BY_CHUNKSERVERS,
  v.object({ serverId: serverIdSchema }),
  v.object({}),
);

/**
 * Returns whether sealed chunks belong to a commit. `unknown` is final: no commit under that intent
 * can succeed later, so the replica may be deleted. `undecided`: ask again later.
 */
export const confirmChunks = {
  requestBytesMax: CONFIRM_BYTES_MAX,
  requestWorkMax: REQUEST_WORK_MAX,
  ...defineCall(
    "fleet.confirm-chunks",
    BY_CHUNKSERVERS,
    v.object({
      serverId: serverIdSchema,
      chunks: reportsOf(v.object({ chunkId: chunkIdSchema, intentIndex: logIndexSchema })),
    }),
    v.object({ verdicts: v.array(v.picklist(["known", "unknown", "undecided"])) }),
  ),
};

/**
 * Returns a page of the chunks of which the state records a copy on a chunkserver, in the order of their
 * ids. The server compares them with its index (docs/decisions/0020).
 */
export const listCopies = defineCall(
  "fleet.list-copies",
  BY_CHUNKSERVERS,
  v.object({
    serverId: serverIdSchema,
    /** The last chunk of the page before. Null in the first call. */
    after: v.nullable(chunkIdSchema),
  }),
  v.object({
    chunkIds: v.array(chunkIdSchema),
    /** Whether other chunks follow. */
    hasMore: v.boolean(),
    /** Index of the state. */
    index: logIndexSchema,
    /** Time after which the server may ask for the next page: all servers share the leader. */
    pauseMs: countSchema,
  }),
);

/** Returns which of some chunks have a copy that the state records on a chunkserver, with its intent. */
export const findCopies = defineCall(
  "fleet.find-copies",
  BY_CHUNKSERVERS,
  v.object({
    serverId: serverIdSchema,
    chunkIds: v.pipe(v.array(chunkIdSchema), v.maxLength(FIND_COPIES_MAX)),
  }),
  v.object({
    copies: v.array(v.object({ chunkId: chunkIdSchema, intentIndex: logIndexSchema })),
  }),
);

/**
 * Forgets the history up to now in bounded steps, so that the space of removed and replaced files is
 * freed before the retention has passed. Repeat the call until `versions` is 0 or `oldestIndex` has
 * reached the `index` of the first response.
 */
export const trimHistory = defineCall(
  "fleet.trim-history",
  BY_OPERATORS,
  v.object({}),
  v.object({
    index: logIndexSchema,
    /** Log index of the oldest state that can be read. */
    oldestIndex: logIndexSchema,
    /** Superseded records that the history still keeps. */
    versions: countSchema,
  }),
);

/**
 * Removes a chunkserver from the cluster for ever. The leader first checks in bounded steps that every
 * chunk of the server has its copies on other live servers: repeat the call with `checkedTo` and
 * `missingCount` of the response until `isRemoved`. Refused with PRECONDITION_FAILED for a live server,
 * and if a chunk lacks copies (`details.missingCount`); with NOT_FOUND for an unknown server.
 */
export const removeServer = defineCall(
  "fleet.remove-server",
  BY_OPERATORS,
  v.object({
    serverId: serverIdSchema,
    /** Removes a live server too, and accepts chunks that have one copy elsewhere. */
    isForced: v.boolean(),
    /** The last chunk that was checked. Null in the first call. */
    checkedTo: v.nullable(chunkIdSchema),
    /** Chunks found so far that lack copies elsewhere. */
    missingCount: countSchema,
  }),
  v.object({
    /** True also if the server had been removed before. */
    isRemoved: v.boolean(),
    checkedTo: v.nullable(chunkIdSchema),
    missingCount: countSchema,
  }),
);

// Status -------------------------------------------------------------------------------------

/** Status of a master. */
export const masterStatusSchema = v.object({
  memberId: memberIdSchema,
  /** Empty if the member does not know it: it was not added yet, or was removed. */
  address: shortTextSchema,
  role: v.picklist(["leader", "follower", "candidate", "learner", "unreachable"]),
  term: termSchema,
  lastIndex: logIndexSchema,
  committedIndex: logIndexSchema,
  appliedIndex: logIndexSchema,
  /**
   * How far its clock is ahead of the median of all masters, in milliseconds; negative if it is
   * behind. Only in the status of the cluster. Absent if it is not known.
   */
  clockAheadMs: v.optional(v.pipe(v.number(), v.integer())),
  /** Why it runs and does not follow the leader. Absent if it follows, and in old versions. */
  refusal: v.optional(refusalSchema),
  /** Absent while its disk has space, and in old versions. */
  diskFull: v.optional(diskFullSchema),
});

const chunkserverStatusSchema = v.object({
  ...serverLocationSchema.entries,
  state: v.picklist(["live", "suspect", "dead", "stopped"]),
  /** Whether it runs and is refused, because it has not enrolled; `state` is `dead`. Absent in old versions. */
  isRefused: v.optional(v.boolean(), false),
  /** Whether the disk failed: the server serves its chunks and accepts no writes. */
  isDiskFailed: v.optional(v.boolean(), false),
  /** Replicas that its disk could not read at their last read, at most 1,000. Absent in old versions. */
  unreadableCount: v.optional(countSchema),
  /** Empty for a chunkserver of an old version. Absent if the master has an old version. */
  capabilities: v.optional(capabilitiesSchema),
  space: spaceSchema,
  chunkCount: countSchema,
  lastHeardMsAgo: v.nullable(countSchema),
});

const healthSchema = v.object({
  /**
   * `ok`: everything works. `degraded`: all data can be read, but a process is missing or a chunk
   * has too few replicas. `critical`: some data cannot be read, or no data can be written.
   */
  word: v.picklist(["ok", "degraded", "critical"]),
  reasons: v.array(v.string()),
  /** Whether too few chunkservers have space for another chunk. Absent in old versions. */
  isFull: v.optional(v.boolean(), false),
});

/** Returns the status of the cluster, from the leader. */
export const status = defineCall(
  "fleet.status",
  BY_OPERATORS,
  v.object({}),
  v.object({
    clusterId: clusterIdSchema,
    index: logIndexSchema,
    masters: v.array(masterStatusSchema),
    chunkservers: v.array(chunkserverStatusSchema),
    health: healthSchema,
    /** Absent in old versions, and below feature level 13. */
    enrolment: v.optional(
      v.object({
        /** Whether a chunkserver enrols without a token. */
        isOpen: v.boolean(),
        keyVersion: countSchema,
        /** Number of live chunkservers that have not enrolled. */
        notEnrolledCount: countSchema,
      }),
    ),
    /** Absent in old versions. */
    featureLevel: v.optional(
      v.object({
        current: countSchema,
        /** The level that the program of the leader supports. */
        supported: countSchema,
      }),
    ),
    /** Replicas of a chunk in the default storage class. Absent in old versions. */
    defaultCopies: v.optional(countSchema),
    namespace: v.object({
      fileCount: countSchema,
      directoryCount: countSchema,
      chunkCount: countSchema,
      /** Sum of the file sizes, without replication. */
      logicalBytes: countSchema,
      /** Sum of the sizes of all unfinished uploads, without replication. */
      stagedBytes: v.optional(countSchema, 0),
      /** Chunks with fewer live replicas than their storage class requires. */
      chunksUnderReplicated: countSchema,
      /** Chunks without a live replica. */
      chunksLost: countSchema,
      /** Replicas of removed chunks that servers must delete. */
      purgesPending: countSchema,
    }),
    history: v.object({
      /**
       * Number of superseded records, replaced contents and removed files or trees that are kept.
       */
      versions: countSchema,
      versionsMax: countSchema,
      /** Time for which superseded versions are kept. */
      retentionMs: countSchema,
      /** Log index of the oldest state that can be read. */
      oldestIndex: logIndexSchema,
      oldestTimeMs: shownTimeMsSchema,
    }),
  }),
);
/** Response of `fleet.status`. */
export type ClusterStatus = ReturnType<(typeof status)["parseResponse"]>;

/** Returns the status of the called member. Every member answers, not only the leader. */
export const memberStatus = defineCall(
  "fleet.member-status",
  ANY_ROLE,
  v.object({}),
  v.object({
    member: masterStatusSchema,
    leaderAddress: v.nullable(addressSchema),
    /** Addresses of all masters, as known to this member. */
    masters: v.optional(v.array(addressSchema), []),
    /** Addresses of those masters that do not vote. Absent in old versions. */
    learners: v.optional(v.array(addressSchema), []),
    /** The wall clock of the member. Absent in old versions. */
    wallMs: v.optional(timeMsSchema),
    /** Absent in versions that support only the first feature level. */
    state: v.optional(
      v.object({
        /** Highest level that the program supports. The level of the cluster may be lower. */
        featureLevelMax: countSchema,
        /** State hashes of the member at the last checkpoints. */
        marks: v.array(v.object({ index: logIndexSchema, stateHash: bytesSchema(16) })),
      }),
    ),
  }),
);
