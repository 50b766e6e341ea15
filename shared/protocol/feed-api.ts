import * as v from "valibot";
import { defineStream } from "./method.ts";
import { BY_CLIENTS } from "./roles.ts";
import {
  bytesSchema,
  countSchema,
  digestSchema,
  inodeIdSchema,
  logIndexSchema,
  ordinalSchema,
  pathSchema,
  shortTextSchema,
  shownTimeMsSchema,
} from "./schemas.ts";

/* The change feed: all changes of the namespace in the order of the log, without gaps. */

const HEARTBEAT_MS_MIN = 50;
const HEARTBEAT_MS_MAX = 60_000;

/** A position in the feed. Events are ordered by their log entry, then by their number in it. */
export const feedPositionSchema = v.object({
  /** Log index of an entry, with or without events. */
  index: logIndexSchema,
  /** Number of the event in its entry, from 0. */
  sequence: ordinalSchema,
});
export type FeedPosition = v.InferOutput<typeof feedPositionSchema>;

const nameSchema = bytesSchema(255);
const numberSchema = v.pipe(v.number(), v.integer(), v.minValue(0));

/** The fields that all events have. */
const commonFields = {
  ...feedPositionSchema.entries,
  /** The leader's time when it proposed the entry. Never decreases from one entry to the next. */
  timeMs: shownTimeMsSchema,
  inode: inodeIdSchema,
  inodeKind: v.picklist(["file", "directory"]),
  /**
   * The directory that contains the inode, or contained it before its removal. Null for the root.
   */
  parent: v.nullable(inodeIdSchema),
  /** The name of the inode in `parent`. Empty for the root. */
  name: nameSchema,
  /**
   * The path of the inode at the time of the operation. Null if it exceeds the longest path, and in an
   * unfinished tree.
   */
  path: v.nullable(pathSchema),
};

/** An event of the feed. */
export const feedEventSchema = v.variant("kind", [
  /** A new file (with its first content) or an empty directory. */
  v.object({
    kind: v.literal("created"),
    ...commonFields,
    mode: numberSchema,
    uid: numberSchema,
    gid: numberSchema,
    mtimeMs: shownTimeMsSchema,
    storageClass: shortTextSchema,
    /** 0 for a directory. */
    sizeBytes: countSchema,
    /** Null for a directory. */
    contentRoot: v.nullable(digestSchema),
  }),
  /** An existing file has new content. */
  v.object({
    kind: v.literal("content"),
    ...commonFields,
    mtimeMs: shownTimeMsSchema,
    sizeBytes: countSchema,
    contentRoot: digestSchema,
  }),
  v.object({
    kind: v.literal("removed"),
    ...commonFields,
    /**
     * Whether it was a directory with entries. Everything below it is removed without further
     * events.
     */
    isTree: v.boolean(),
  }),
  /** `parent`, `name` and `path` are the new ones. Everything below a directory moves with it. */
  v.object({
    kind: v.literal("renamed"),
    ...commonFields,
    from: v.object({
      parent: inodeIdSchema,
      name: nameSchema,
      path: v.nullable(pathSchema),
    }),
  }),
  v.object({
    kind: v.literal("attributes"),
    ...commonFields,
    mode: numberSchema,
    uid: numberSchema,
    gid: numberSchema,
    mtimeMs: shownTimeMsSchema,
    atimeMs: shownTimeMsSchema,
  }),
  v.object({
    kind: v.literal("storage-class"),
    ...commonFields,
    storageClass: shortTextSchema,
  }),
]);
export type FeedEvent = v.InferOutput<typeof feedEventSchema>;

/**
 * Sends the events of `path` and of everything below it, from a position on, while the stream is
 * open. Any master serves the events that it has applied.
 *
 * Fails with INDEX_EXPIRED (details.oldestIndex) if events from the position on are no longer kept,
 * even while the stream is open; with INVALID_ARGUMENT for a position beyond the log; with
 * NO_LEADER if this master has had no contact with a leader for two heartbeats, because another
 * master may have newer events.
 */
export const watch = defineStream("namespace.watch", BY_CLIENTS, {
  open: v.object({
    /** Absolute. The path need not exist. */
    path: pathSchema,
    /** First position to send. Default: the position after all entries that are committed now. */
    from: v.optional(feedPositionSchema),
    /** Longest time between two messages, while the client reads them. */
    heartbeatMs: v.pipe(countSchema, v.minValue(HEARTBEAT_MS_MIN), v.maxValue(HEARTBEAT_MS_MAX)),
  }),
  up: v.object({}),
  down: v.object({
    /** Events in order. Empty in a message that only reports `next`. */
    events: v.array(feedEventSchema),
    /** The position to continue at after this message. No event of the path is before it. */
    next: feedPositionSchema,
  }),
});
export type WatchRequest = ReturnType<(typeof watch)["parseOpen"]>;
export type WatchMessage = ReturnType<(typeof watch)["parseDown"]>;
