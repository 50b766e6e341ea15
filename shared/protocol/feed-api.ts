import * as v from "valibot";
import { defineStream } from "./method.ts";
import {
  bytesSchema,
  countSchema,
  digestSchema,
  inodeIdSchema,
  logIndexSchema,
  pathSchema,
  shortTextSchema,
  timeMsSchema,
} from "./schemas.ts";

/** The change feed: what happened in the namespace, in the order of the log, without gaps. */

const HEARTBEAT_MS_MIN = 50;
const HEARTBEAT_MS_MAX = 60_000;

/** A place in the feed. Events sort by the entry that made them, then by their number in it. */
export const feedPositionSchema = v.object({
  /** The log index of an entry; it need not have made events. */
  index: logIndexSchema,
  /** From 0 in each entry. */
  sequence: countSchema,
});
export type FeedPosition = v.InferOutput<typeof feedPositionSchema>;

const nameSchema = bytesSchema(255);
const numberSchema = v.pipe(v.number(), v.integer(), v.minValue(0));

/** What happened to what, where. */
const commonFields = {
  ...feedPositionSchema.entries,
  /** The leader's clock when it proposed the entry. Never goes back from one entry to the next. */
  timeMs: timeMsSchema,
  inode: inodeIdSchema,
  inodeKind: v.picklist(["file", "directory"]),
  /** The directory that holds it, or held it; null for the root. */
  parent: v.nullable(inodeIdSchema),
  /** Its name there; empty for the root. */
  name: nameSchema,
  /** The path that it had when the operation ran; null for one longer than a path may be. */
  path: v.nullable(pathSchema),
};

export const feedEventSchema = v.variant("kind", [
  /** A new file (with its first content) or an empty directory. */
  v.object({
    kind: v.literal("created"),
    ...commonFields,
    mode: numberSchema,
    uid: numberSchema,
    gid: numberSchema,
    mtimeMs: timeMsSchema,
    storageClass: shortTextSchema,
    /** 0 for a directory. */
    sizeBytes: countSchema,
    /** Null for a directory. */
    contentRoot: v.nullable(digestSchema),
  }),
  /** A file that was there has other bytes now. */
  v.object({
    kind: v.literal("content"),
    ...commonFields,
    mtimeMs: timeMsSchema,
    sizeBytes: countSchema,
    contentRoot: digestSchema,
  }),
  v.object({
    kind: v.literal("removed"),
    ...commonFields,
    /** A directory that had entries: all below it went with it, without events of their own. */
    isTree: v.boolean(),
  }),
  /** `parent`, `name` and `path` are the new ones. What is below a directory moves with it. */
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
    mtimeMs: timeMsSchema,
    atimeMs: timeMsSchema,
  }),
  v.object({
    kind: v.literal("storage-class"),
    ...commonFields,
    storageClass: shortTextSchema,
  }),
]);
export type FeedEvent = v.InferOutput<typeof feedEventSchema>;

/**
 * Events of `path` and of what is below it, from a position on, for as long as the stream lives. Any
 * master serves it, from what it has applied.
 *
 * Fails with INDEX_EXPIRED (details.oldestIndex) if events from the position on are gone, also in
 * the middle; INVALID_ARGUMENT for a position that the log has not reached; NO_LEADER once this
 * master has heard of no leader for two heartbeats: another one may know more.
 */
export const watch = defineStream("namespace.watch", {
  open: v.object({
    /** Absolute. It need not be there. */
    path: pathSchema,
    /** The first position that is wanted. Default: after all that is committed now. */
    from: v.optional(feedPositionSchema),
    /** A message comes at least so often, while the client takes them. */
    heartbeatMs: v.pipe(countSchema, v.minValue(HEARTBEAT_MS_MIN), v.maxValue(HEARTBEAT_MS_MAX)),
  }),
  up: v.object({}),
  down: v.object({
    /** In order. Empty in a message that tells only of `next`. */
    events: v.array(feedEventSchema),
    /** Where to go on after this message: no event of the path lies between. */
    next: feedPositionSchema,
  }),
});
export type WatchMessage = ReturnType<(typeof watch)["parseDown"]>;
