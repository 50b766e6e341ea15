import * as v from "valibot";
import type { LogIndex } from "../base/ids.ts";
import type { Attributes } from "./attributes.ts";
import { attributesSchema, encodeAttributes } from "./attributes.ts";
import { defineCall } from "./method.ts";
import { attemptSchema, readModeSchema } from "./namespace-api.ts";
import { BY_CLIENTS } from "./roles.ts";
import {
  countSchema,
  logIndexSchema,
  pathSchema,
  shownTimeMsSchema,
  timeMsSchema,
} from "./schemas.ts";

/*
 * Queries and the retention of the history. Past states are read with the calls of the namespace.
 */

/** The longest retention: 366 days. The time table has a row for every second with an entry. */
export const HISTORY_RETENTION_MS_MAX = 366 * 24 * 60 * 60 * 1_000;

/**
 * Changes the time for which the history is kept. A shorter one makes older states unreadable soon; a
 * longer one brings none back. Needs feature level 4.
 */
export const setHistoryRetention = defineCall(
  "namespace.set-history-retention",
  BY_CLIENTS,
  v.object({
    attempt: attemptSchema,
    retentionMs: v.pipe(countSchema, v.maxValue(HISTORY_RETENTION_MS_MAX)),
  }),
  v.object({ index: logIndexSchema }),
);

/**
 * Returns the log index of the state at a time, by the masters' clock with a resolution of one
 * second. The state contains no later change. A time in the future means the current state.
 */
export const asOf = defineCall(
  "namespace.as-of",
  BY_CLIENTS,
  v.object({
    at: v.variant("kind", [
      v.object({ kind: v.literal("index"), index: logIndexSchema }),
      v.object({ kind: v.literal("time"), timeMs: timeMsSchema }),
      /** A duration before now, by the clock of the master that answers. */
      v.object({ kind: v.literal("ago"), durationMs: countSchema }),
    ]),
    read: readModeSchema,
  }),
  v.object({
    index: logIndexSchema,
    timeMs: shownTimeMsSchema,
    /** Log index of the oldest state that can be read. */
    oldestIndex: logIndexSchema,
    /** Time of the oldest state. */
    oldestTimeMs: shownTimeMsSchema,
  }),
);

const PATH_CHANGES = [
  "existing",
  "created",
  "moved-here",
  "replaced",
  "content",
  "attributes",
  "moved-away",
  "removed",
] as const;

/** A change at a path: one element of the path's history. */
export interface PathVersion {
  /** Log index of the entry that made the change. */
  readonly index: LogIndex;
  /** Time of the entry by the leader's clock, in milliseconds since the Unix epoch. */
  readonly timeMs: number;
  /**
   * `existing`: the path existed already at the oldest index of the history; it is unchanged since
   * `index`. `replaced`: another file took the name in one step. `content` and `attributes`: the
   * same inode changed.
   */
  readonly change: (typeof PATH_CHANGES)[number];
  /** Attributes at the path from `index` on. Null after `moved-away` and `removed`. */
  readonly attributes: Attributes | null;
  /**
   * Path that the inode was moved from (`moved-here`, `replaced`) or to (`moved-away`), as bytes.
   * Null if the inode was not moved.
   */
  readonly otherPath: Uint8Array | null;
}

const HISTORY_LIMIT_MAX = 1_000;

/** Returns the changes at a path, oldest first, as far as they are kept. */
export const history = defineCall(
  "namespace.history",
  BY_CLIENTS,
  v.object({
    path: pathSchema,
    read: readModeSchema,
    /** `next` of the previous page. */
    from: v.optional(logIndexSchema),
    limit: v.pipe(countSchema, v.minValue(1), v.maxValue(HISTORY_LIMIT_MAX)),
  }),
  v.object({
    index: logIndexSchema,
    oldestIndex: logIndexSchema,
    versions: v.array(
      v.object({
        index: logIndexSchema,
        timeMs: shownTimeMsSchema,
        /** See `PathVersion`. */
        change: v.picklist(PATH_CHANGES),
        /** Attributes at the path from `index` on, or null. */
        attributes: v.nullable(attributesSchema),
        /** Source or destination of a move, or null. */
        otherPath: v.nullable(pathSchema),
      }),
    ),
    /** Start of the next page. Null after the last page. */
    next: v.nullable(logIndexSchema),
  }),
  ({ versions, ...page }) => ({
    ...page,
    versions: versions.map(({ attributes, ...version }) => ({
      ...version,
      attributes: attributes === null ? null : encodeAttributes(attributes),
    })),
  }),
);
