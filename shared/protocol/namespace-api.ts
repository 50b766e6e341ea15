import * as v from "valibot";
import { attributesSchema, withAttributes } from "./attributes.ts";
import { intentSchema, receiptSchema, serverLocationSchema } from "./intent.ts";
import { defineCall } from "./method.ts";
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
  timeMsSchema,
} from "./schemas.ts";

/** What clients ask of the masters. Mutations and linearizable reads go to the leader. */

/** Largest inline file that any cluster may allow; the cluster's own bound is 4 KiB by default. */
export const INLINE_BYTES_MAX = 64 * 1024;
/**
 * Chunks in one content: 4 TiB at the default chunk size. The entry that commits them has a bound of
 * its own (`master/driver/proposals.ts`), which some 19,000 chunks with three replicas reach, and some
 * 37,000 by reference: then TOO_LARGE.
 */
export const CONTENT_CHUNKS_MAX = 65_536;
export const TRANSACTION_OPERATIONS_MAX = 10_000;
export const LIST_LIMIT_MAX = 10_000;
const LOCATE_COUNT_MAX = 4_096;
const ALLOCATE_COUNT_MAX = 64;

const modeSchema = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MODE_MAX));
const ownerSchema = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(OWNER_MAX));

/** A path, or an inode and a path below it (empty: the inode itself). Handles survive renames. */
export const targetSchema = v.object({
  inode: v.optional(inodeIdSchema),
  /** Absolute; relative to `inode` where that is given, with a leading "/" all the same. */
  path: v.optional(pathSchema),
});
export type Target = v.InferOutput<typeof targetSchema>;

// Content ------------------------------------------------------------------------------------

/** A chunk that a commit names. Without receipts it must be known to the master (a reference). */
export const committedChunkSchema = v.object({
  id: chunkIdSchema,
  lengthBytes: countSchema,
  /** The intent under which it was written; 0 with no receipts. */
  intentIndex: logIndexSchema,
  receipts: v.pipe(v.array(receiptSchema), v.maxLength(16)),
});
export type CommittedChunk = v.InferOutput<typeof committedChunkSchema>;

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

/** The operations that travel as maps; the small ones have a codec of their own. */
export const largeOperationSchema = v.variant("kind", [
  /** The whole content of a file, new or replaced, as one step. */
  v.object({
    kind: v.literal("put"),
    target: targetSchema,
    content: contentSchema,
    /** false: refused with ALREADY_EXISTS if the name is taken. */
    replace: v.boolean(),
    mode: modeSchema,
    uid: ownerSchema,
    gid: ownerSchema,
    mtimeMs: v.optional(timeMsSchema),
    /** For a new file; default: its directory's. */
    storageClass: v.optional(shortTextSchema),
  }),
  /** Changes some chunks of a file: compare-and-set by position. */
  v.object({
    kind: v.literal("commit-chunks"),
    target: targetSchema,
    sizeBytesExpected: countSchema,
    sizeBytes: countSchema,
    changes: v.pipe(
      v.array(
        v.object({
          position: countSchema,
          /** What is there now, or null for a position beyond the end. */
          expected: v.nullable(chunkIdSchema),
          chunk: committedChunkSchema,
        }),
      ),
      v.maxLength(CONTENT_CHUNKS_MAX),
    ),
    mtimeMs: v.optional(timeMsSchema),
  }),
  /** A file's content by reference; no data moves. */
  v.object({
    kind: v.literal("copy"),
    from: targetSchema,
    to: targetSchema,
    replace: v.boolean(),
    /** true: the copy keeps mode, owner and times. */
    preserve: v.boolean(),
    uid: ownerSchema,
    gid: ownerSchema,
  }),
  /**
   * What stood at `from` as of `index`, by reference: a file with its content and attributes, a
   * directory without its entries. INDEX_EXPIRED where the history does not reach back so far.
   */
  v.object({
    kind: v.literal("restore"),
    from: targetSchema,
    index: logIndexSchema,
    to: targetSchema,
    /** false: refused with ALREADY_EXISTS if the name is taken. A directory replaces nothing. */
    replace: v.boolean(),
  }),
  v.object({
    kind: v.literal("set-storage-class"),
    target: targetSchema,
    storageClass: shortTextSchema,
  }),
]);
type LargeOperation = v.InferOutput<typeof largeOperationSchema>;

interface NewInode {
  readonly target: Target;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** What most transactions are made of. */
export type SmallOperation =
  /** `parents`: mkdir -p, which makes missing parents; a directory that is there is no error. */
  | ({ readonly kind: "make-directory"; readonly parents: boolean } & NewInode)
  /** An empty file. Refused if the name is taken. */
  | ({ readonly kind: "create" } & NewInode)
  /** rename(2): replaces a file by a file and an empty directory by a directory. */
  | {
      readonly kind: "rename";
      readonly from: Target;
      readonly to: Target;
      /** true: RENAME_NOREPLACE. */
      readonly noReplace: boolean;
    }
  | { readonly kind: "unlink"; readonly target: Target }
  | { readonly kind: "remove-directory"; readonly target: Target }
  /** rm -r: detaches the subtree as one step; its space comes back in the background. */
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

export type Operation = SmallOperation | LargeOperation;
export type OperationOf<Kind extends Operation["kind"]> = Extract<Operation, { kind: Kind }>;

export const preconditionSchema = v.variant("kind", [
  v.object({ kind: v.literal("absent"), target: targetSchema }),
  v.object({ kind: v.literal("exists"), target: targetSchema }),
  v.object({ kind: v.literal("version"), target: targetSchema, version: logIndexSchema }),
  v.object({ kind: v.literal("content-root"), target: targetSchema, root: digestSchema }),
]);
export type Precondition = v.InferOutput<typeof preconditionSchema>;

/** Names one mutation of one session, for exactly-once (Raft thesis §6.3). */
export const attemptSchema = v.object({
  sessionId: sessionIdSchema,
  /** From 1, a new one for every mutation; a retry repeats it. */
  sequence: countSchema,
  /** The client will never ask again for outcomes below this sequence. */
  firstUnacknowledged: countSchema,
});
export type Attempt = v.InferOutput<typeof attemptSchema>;

export const openSession = defineCall(
  "namespace.open-session",
  v.object({ clientName: shortTextSchema }),
  /** A session that sends nothing for `idleMsMax` may expire; `keepSession` or a mutation renews it. */
  v.object({ sessionId: sessionIdSchema, index: logIndexSchema, idleMsMax: countSchema }),
);
export const keepSession = defineCall(
  "namespace.keep-session",
  v.object({ sessionId: sessionIdSchema }),
  v.object({ index: logIndexSchema }),
);
export const closeSession = defineCall(
  "namespace.close-session",
  v.object({ sessionId: sessionIdSchema }),
  v.object({ index: logIndexSchema }),
);

// Placement ----------------------------------------------------------------------------------

export const allocate = defineCall(
  "namespace.allocate",
  v.object({
    /** The file or the directory it will be in: its storage class decides. */
    target: targetSchema,
    storageClass: v.optional(shortTextSchema),
    count: v.pipe(countSchema, v.minValue(1), v.maxValue(ALLOCATE_COUNT_MAX)),
    chunkSizeBytes: countSchema,
    /** Servers that failed this writer a moment ago. */
    exclude: v.pipe(v.array(serverIdSchema), v.maxLength(64)),
    /** Servers that must be in the chain, first and in this order (the survivors of a broken chain). */
    keep: v.pipe(v.array(serverIdSchema), v.maxLength(16)),
    clientHost: shortTextSchema,
  }),
  v.object({
    intents: v.array(intentSchema),
    copiesWanted: countSchema,
    /** A commit with fewer receipts than this a chunk is refused. */
    copiesMin: countSchema,
  }),
);

// Reads --------------------------------------------------------------------------------------

export const readModeSchema = v.variant("kind", [
  v.object({ kind: v.literal("linearizable") }),
  /** At or after `index`, by any master. */
  v.object({ kind: v.literal("session"), index: logIndexSchema }),
  v.object({ kind: v.literal("stale") }),
]);
export type ReadMode = v.InferOutput<typeof readModeSchema>;

/** As of which index; default: now. INDEX_EXPIRED before the oldest that is kept. */
const asOfIndexSchema = v.optional(logIndexSchema);

export const list = defineCall(
  "namespace.list",
  v.object({
    target: targetSchema,
    read: readModeSchema,
    index: asOfIndexSchema,
    /** Goes on where a page ended, at that page's index (G12). */
    cursor: v.optional(v.object({ index: logIndexSchema, after: entryNameSchema })),
    limit: v.pipe(countSchema, v.minValue(1), v.maxValue(LIST_LIMIT_MAX)),
  }),
  v.object({
    /** The one index that the whole listing shows. */
    index: logIndexSchema,
    /** Sorted by the bytes of the name. */
    entries: v.array(v.object({ name: entryNameSchema, attributes: attributesSchema })),
    isLast: v.boolean(),
  }),
  ({ entries, ...page }) => ({ ...page, entries: entries.map(withAttributes) }),
);

/** Where a file's bytes are. */
export const locate = defineCall(
  "namespace.locate",
  v.object({
    target: targetSchema,
    read: readModeSchema,
    /** The version whose chunks are wanted (an open reader keeps its own); default: the present one. */
    index: v.optional(logIndexSchema),
    firstPosition: countSchema,
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
        /** Positions in `servers`; those that are thought to be alive first. */
        replicas: v.array(countSchema),
      }),
    ),
    servers: v.array(v.object({ ...serverLocationSchema.entries, isLive: v.boolean() })),
  }),
  withAttributes,
);
export type Located = ReturnType<(typeof locate)["parseResponse"]>;

/** Named policies. */
export const storageClassSchema = v.object({
  name: shortTextSchema,
  copies: v.pipe(countSchema, v.minValue(1), v.maxValue(9)),
  copiesMin: v.pipe(countSchema, v.minValue(1), v.maxValue(9)),
  /** Racks that the copies must span where there are so many. */
  racksMin: v.pipe(countSchema, v.minValue(1), v.maxValue(9)),
});
export type StorageClass = v.InferOutput<typeof storageClassSchema>;

export const defineStorageClass = defineCall(
  "namespace.define-storage-class",
  v.object({ attempt: attemptSchema, storageClass: storageClassSchema }),
  v.object({ index: logIndexSchema }),
);
export const listStorageClasses = defineCall(
  "namespace.list-storage-classes",
  v.object({ read: readModeSchema }),
  v.object({ index: logIndexSchema, storageClasses: v.array(storageClassSchema) }),
);
