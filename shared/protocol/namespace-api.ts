import * as v from "valibot";
import { attributesSchema, withAttributes } from "./attributes.ts";
import { capabilitiesSchema } from "./capabilities.ts";
import { CHAIN_SERVERS_MAX, intentSchema, receiptSchema, serverLocationSchema } from "./intent.ts";
import { defineCall } from "./method.ts";
import { BY_CLIENTS } from "./roles.ts";
import {
  bytesSchema,
  chunkIdSchema,
  countSchema,
  digestSchema,
  entryNameSchema,
  inodeIdSchema,
  logIndexSchema,
  MODE_MAX,
  OWNER_MAX,
  pathSchema,
  serverIdSchema,
  sessionIdSchema,
  shortTextSchema,
  stagingIdSchema,
  timeMsSchema,
} from "./schemas.ts";

/* The methods of the namespace. Mutations and linearizable reads go to the leader. */

/** Largest inline file that a cluster may allow. The default of a cluster is 4 KiB. */
export const INLINE_BYTES_MAX = 64 * 1024;
/**
 * Largest number of chunks in one content: 4 TiB at the default chunk size. The log entry of the
 * commit has a size limit (`master/driver/proposals.ts`), which is reached at about 19,000 chunks
 * with three replicas, or about 37,000 chunks by reference. A larger commit fails with TOO_LARGE.
 */
export const CONTENT_CHUNKS_MAX = 65_536;
/** Largest number of operations in one transaction. */
export const TRANSACTION_OPERATIONS_MAX = 10_000;
/** Largest number of entries in one page of a listing. */
export const LIST_LIMIT_MAX = 10_000;
const LOCATE_COUNT_MAX = 4_096;
const ALLOCATE_COUNT_MAX = 64;

/** The position of a chunk in its file. */
const positionSchema = v.pipe(countSchema, v.maxValue(CONTENT_CHUNKS_MAX));
const modeSchema = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MODE_MAX));
const ownerSchema = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(OWNER_MAX));

/** A path, an inode, or an inode and a path below it. Inodes stay valid after renames. */
export const targetSchema = v.object({
  inode: v.optional(inodeIdSchema),
  /** Absolute, or relative to `inode` if that is given. It always begins with "/". */
  path: v.optional(pathSchema),
});
export type Target = v.InferOutput<typeof targetSchema>;

// Content ------------------------------------------------------------------------------------

/** A chunk in a commit. Without receipts it is a reference: the cluster must have the chunk. */
export const committedChunkSchema = v.object({
  id: chunkIdSchema,
  lengthBytes: countSchema,
  /** Index of the intent under which the chunk was written. 0 without receipts. */
  intentIndex: logIndexSchema,
  receipts: v.pipe(v.array(receiptSchema), v.maxLength(16)),
});
export type CommittedChunk = v.InferOutput<typeof committedChunkSchema>;

/** The content of a file. */
export const contentSchema = v.variant("kind", [
  v.object({ kind: v.literal("inline"), bytes: bytesSchema(INLINE_BYTES_MAX) }),
  v.object({
    kind: v.literal("chunks"),
    sizeBytes: countSchema,
    /** A power of two, 1 MiB to 64 MiB. Every chunk but the last has this length. */
    chunkSizeBytes: countSchema,
    chunks: v.pipe(v.array(committedChunkSchema), v.maxLength(CONTENT_CHUNKS_MAX)),
  }),
]);
export type Content = v.InferOutput<typeof contentSchema>;

// Mutations ----------------------------------------------------------------------------------

/**
 * The operations that are encoded as maps. `operation-codec.ts` encodes the small ones as arrays.
 */
export const largeOperationSchema = v.variant("kind", [
  /** Creates or replaces a file with its whole content, atomically. */
  v.object({
    kind: v.literal("put"),
    target: targetSchema,
    content: contentSchema,
    /** If false, an existing name is refused with ALREADY_EXISTS. */
    replace: v.boolean(),
    mode: modeSchema,
    uid: ownerSchema,
    gid: ownerSchema,
    mtimeMs: v.optional(timeMsSchema),
    /** Storage class of a new file. Default: the storage class of its directory. */
    storageClass: v.optional(shortTextSchema),
  }),
  /** Replaces some chunks of a file: compare-and-set by position. */
  v.object({
    kind: v.literal("commit-chunks"),
    target: targetSchema,
    sizeBytesExpected: countSchema,
    sizeBytes: countSchema,
    changes: v.pipe(
      v.array(
        v.object({
          position: positionSchema,
          /** The current chunk at the position, or null for a position beyond the end. */
          expected: v.nullable(chunkIdSchema),
          chunk: committedChunkSchema,
        }),
      ),
      v.maxLength(CONTENT_CHUNKS_MAX),
    ),
    mtimeMs: v.optional(timeMsSchema),
  }),
  /** Copies a file by reference, without moving data. */
  v.object({
    kind: v.literal("copy"),
    from: targetSchema,
    to: targetSchema,
    replace: v.boolean(),
    /** Whether the copy keeps mode, owner and times. */
    preserve: v.boolean(),
    uid: ownerSchema,
    gid: ownerSchema,
  }),
  /**
   * Restores the inode that was at `from` as of `index`, by reference: a file with its content and
   * attributes, a directory without its entries. INDEX_EXPIRED if that state is no longer kept.
   */
  v.object({
    kind: v.literal("restore"),
    from: targetSchema,
    index: logIndexSchema,
    to: targetSchema,
    /**
     * If false, an existing name is refused with ALREADY_EXISTS. A directory never replaces an
     * existing name.
     */
    replace: v.boolean(),
  }),
  v.object({
    kind: v.literal("set-storage-class"),
    target: targetSchema,
    storageClass: shortTextSchema,
  }),
  /**
   * Keeps sealed chunks of an unfinished upload of this session, without a directory entry. Creates
   * the upload, or appends to it. Chunks at positions that the upload has already must be the same:
   * then they are skipped, so a repeat changes nothing.
   */
  v.object({
    kind: v.literal("stage"),
    id: stagingIdSchema,
    /** The future file. It need not exist. Its storage class determines the number of copies. */
    target: targetSchema,
    /** Storage class of the chunks. Default: that of the target. */
    storageClass: v.optional(shortTextSchema),
    /** Position of the first of `chunks` in the upload: at most the number of chunks that it has. */
    position: positionSchema,
    chunks: v.pipe(v.array(committedChunkSchema), v.minLength(1), v.maxLength(CONTENT_CHUNKS_MAX)),
  }),
  /**
   * Creates an unfinished tree of this session: a directory with the attributes that the directory at
   * `from` had as of `index`, without its entries. No path leads to it: its inode is the target of
   * further operations. `rename` publishes it.
   */
  v.object({
    kind: v.literal("stage-directory"),
    id: stagingIdSchema,
    from: targetSchema,
    index: logIndexSchema,
  }),
  /**
   * Makes an unfinished upload of this session the content of a new or an existing file, as `put` does
   * with a list of chunks. The work does not grow with the number of chunks. The upload ends.
   */
  v.object({
    kind: v.literal("publish"),
    id: stagingIdSchema,
    target: targetSchema,
    /** The size of the upload. */
    sizeBytes: countSchema,
    /** Every chunk of the upload but the last has this length. */
    chunkSizeBytes: countSchema,
    /** If false, an existing name is refused with ALREADY_EXISTS. */
    replace: v.boolean(),
    mode: modeSchema,
    uid: ownerSchema,
    gid: ownerSchema,
    mtimeMs: v.optional(timeMsSchema),
    /** Storage class of a new file. Default: the storage class of its directory. */
    storageClass: v.optional(shortTextSchema),
  }),
  /** Removes an unfinished upload or tree of this session. An unknown id is no error. */
  v.object({ kind: v.literal("unstage"), id: stagingIdSchema }),
]);
type LargeOperation = v.InferOutput<typeof largeOperationSchema>;

interface NewInode {
  readonly target: Target;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** The operations of most transactions. They are encoded as arrays. */
export type SmallOperation =
  /** With `parents` as mkdir -p: creates missing parents, and an existing directory is no error. */
  | ({ readonly kind: "make-directory"; readonly parents: boolean } & NewInode)
  /** Creates an empty file. An existing name is refused. */
  | ({ readonly kind: "create" } & NewInode)
  /** As rename(2): a file may replace a file, a directory may replace an empty directory. */
  | {
      readonly kind: "rename";
      readonly from: Target;
      readonly to: Target;
      /** As RENAME_NOREPLACE of renameat2(2). */
      readonly noReplace: boolean;
    }
  | { readonly kind: "unlink"; readonly target: Target }
  | { readonly kind: "remove-directory"; readonly target: Target }
  /** As rm -r: detaches the subtree in one step. Its space is reclaimed in the background. */
  | { readonly kind: "remove-tree"; readonly target: Target }
  | {
      readonly kind: "set-attributes";
      readonly target: Target;
      readonly mode?: number | undefined;
      readonly uid?: number | undefined;
      readonly gid?: number | undefined;
      readonly mtimeMs?: number | undefined;
      readonly atimeMs?: number | undefined;
    };

/** One change of the namespace in a transaction. */
export type Operation = SmallOperation | LargeOperation;
export type OperationOf<Kind extends Operation["kind"]> = Extract<Operation, { kind: Kind }>;

/** A condition that must hold, or the transaction is refused. */
export const preconditionSchema = v.variant("kind", [
  v.object({ kind: v.literal("absent"), target: targetSchema }),
  v.object({ kind: v.literal("exists"), target: targetSchema }),
  v.object({ kind: v.literal("version"), target: targetSchema, version: logIndexSchema }),
  v.object({ kind: v.literal("content-root"), target: targetSchema, root: digestSchema }),
]);
export type Precondition = v.InferOutput<typeof preconditionSchema>;

/** Identifies one mutation of one session, for exactly-once semantics (Raft thesis §6.3). */
export const attemptSchema = v.object({
  sessionId: sessionIdSchema,
  /** From 1, a new number for every mutation. A retry has the same number. */
  sequence: countSchema,
  /** The client will not retry mutations below this sequence. */
  firstUnacknowledged: countSchema,
});
export type Attempt = v.InferOutput<typeof attemptSchema>;

/** Opens a client session. */
export const openSession = defineCall(
  "namespace.open-session",
  BY_CLIENTS,
  v.object({ clientName: shortTextSchema }),
  /** A session without a call for `idleMsMax` may expire. `keepSession` and mutations renew it. */
  v.object({ sessionId: sessionIdSchema, index: logIndexSchema, idleMsMax: countSchema }),
);
/** Renews a session. */
export const keepSession = defineCall(
  "namespace.keep-session",
  BY_CLIENTS,
  v.object({ sessionId: sessionIdSchema }),
  v.object({ index: logIndexSchema }),
);
/** Closes a session. */
export const closeSession = defineCall(
  "namespace.close-session",
  BY_CLIENTS,
  v.object({ sessionId: sessionIdSchema }),
  v.object({ index: logIndexSchema }),
);

// Placement ----------------------------------------------------------------------------------

/** Returns intents: chains of servers to write chunks to. */
export const allocate = defineCall(
  "namespace.allocate",
  BY_CLIENTS,
  v.object({
    /** The file, or the directory of a new file. Its storage class determines the placement. */
    target: targetSchema,
    storageClass: v.optional(shortTextSchema),
    count: v.pipe(countSchema, v.minValue(1), v.maxValue(ALLOCATE_COUNT_MAX)),
    chunkSizeBytes: countSchema,
    /** Servers that must not be chosen, because calls of the writer to them have just failed. */
    exclude: v.pipe(v.array(serverIdSchema), v.maxLength(64)),
    /** Servers at the head of the chain, in this order: the survivors of a broken chain. */
    keep: v.pipe(v.array(serverIdSchema), v.maxLength(CHAIN_SERVERS_MAX)),
    clientHost: shortTextSchema,
    /** Capabilities that every new server of the chain must have. Absent: none. */
    requires: v.optional(capabilitiesSchema),
  }),
  v.object({
    intents: v.array(intentSchema),
    copiesWanted: countSchema,
    /** A commit with fewer receipts per chunk is refused. */
    copiesMin: countSchema,
  }),
);

// Reads --------------------------------------------------------------------------------------

/** The consistency of a read. */
export const readModeSchema = v.variant("kind", [
  v.object({ kind: v.literal("linearizable") }),
  /** Any master answers, with a state at or after `index`. */
  v.object({ kind: v.literal("session"), index: logIndexSchema }),
  v.object({ kind: v.literal("stale") }),
]);
export type ReadMode = v.InferOutput<typeof readModeSchema>;

/**
 * Index of the state to read. Default: the current state. INDEX_EXPIRED if it is no longer kept.
 */
const asOfIndexSchema = v.optional(logIndexSchema);

/** Returns a page of a directory. */
export const list = defineCall(
  "namespace.list",
  BY_CLIENTS,
  v.object({
    target: targetSchema,
    read: readModeSchema,
    index: asOfIndexSchema,
    /** Continues after the last name of a page, at the index of that page (G12). */
    cursor: v.optional(v.object({ index: logIndexSchema, after: entryNameSchema })),
    limit: v.pipe(countSchema, v.minValue(1), v.maxValue(LIST_LIMIT_MAX)),
    /**
     * Whether the client continues after a page without entries, with `after` of the response. For a
     * client that does not, the master searches until it finds an entry.
     */
    acceptsEmptyPages: v.optional(v.boolean()),
  }),
  v.object({
    /** Index of the state that the whole listing shows. */
    index: logIndexSchema,
    /** Sorted by the bytes of the name. */
    entries: v.array(v.object({ name: entryNameSchema, attributes: attributesSchema })),
    isLast: v.boolean(),
    /** Where the next page starts: at or after the last entry. Absent: after the last entry. */
    after: v.optional(entryNameSchema),
  }),
  ({ entries, ...page }) => ({ ...page, entries: entries.map(withAttributes) }),
);

/** Returns the chunks of a file and the servers that have them. */
export const locate = defineCall(
  "namespace.locate",
  BY_CLIENTS,
  v.object({
    target: targetSchema,
    read: readModeSchema,
    /** Index of the state to read: an open reader keeps its version. Default: the current state. */
    index: v.optional(logIndexSchema),
    firstPosition: positionSchema,
    count: v.pipe(countSchema, v.maxValue(LOCATE_COUNT_MAX)),
  }),
  v.object({
    index: logIndexSchema,
    attributes: attributesSchema,
    /** The content of an inline file. */
    inlineBytes: v.nullable(bytesSchema(INLINE_BYTES_MAX)),
    chunks: v.array(
      v.object({
        id: chunkIdSchema,
        lengthBytes: countSchema,
        /** Positions in `servers`. Live servers come first. */
        replicas: v.array(countSchema),
      }),
    ),
    servers: v.array(v.object({ ...serverLocationSchema.entries, isLive: v.boolean() })),
  }),
  withAttributes,
);
export type Located = ReturnType<(typeof locate)["parseResponse"]>;

/** A named policy for replication. */
export const storageClassSchema = v.object({
  name: shortTextSchema,
  copies: v.pipe(countSchema, v.minValue(1), v.maxValue(CHAIN_SERVERS_MAX)),
  copiesMin: v.pipe(countSchema, v.minValue(1), v.maxValue(CHAIN_SERVERS_MAX)),
  /** Number of racks that the replicas must span, if the cluster has that many. */
  racksMin: v.pipe(countSchema, v.minValue(1), v.maxValue(CHAIN_SERVERS_MAX)),
});
export type StorageClass = v.InferOutput<typeof storageClassSchema>;

/** Creates or replaces a storage class. */
export const defineStorageClass = defineCall(
  "namespace.define-storage-class",
  BY_CLIENTS,
  v.object({ attempt: attemptSchema, storageClass: storageClassSchema }),
  v.object({ index: logIndexSchema }),
);
/** Returns all storage classes. */
export const listStorageClasses = defineCall(
  "namespace.list-storage-classes",
  BY_CLIENTS,
  v.object({ read: readModeSchema }),
  v.object({ index: logIndexSchema, storageClasses: v.array(storageClassSchema) }),
);
