import * as v from "valibot";
import type { LogIndex } from "../base/ids.ts";
import type { Attributes } from "./attributes.ts";
import { attributesSchema, encodeAttributes } from "./attributes.ts";
import { defineCall } from "./method.ts";
import { readModeSchema } from "./namespace-api.ts";
import { countSchema, logIndexSchema, pathSchema, timeMsSchema } from "./schemas.ts";

/** What clients ask of the masters about the past. States of it are read by the calls of the namespace. */

/**
 * The index that stands for a moment, by the masters' clock and to the second: nothing that was done
 * later shows in it. A moment that is to come is the present.
 */
export const asOf = defineCall(
  "namespace.as-of",
  v.object({
    at: v.variant("kind", [
      v.object({ kind: v.literal("index"), index: logIndexSchema }),
      v.object({ kind: v.literal("time"), timeMs: timeMsSchema }),
      /** So long before now, by the clock of the master that answers. */
      v.object({ kind: v.literal("ago"), durationMs: countSchema }),
    ]),
    read: readModeSchema,
  }),
  v.object({
    index: logIndexSchema,
    timeMs: timeMsSchema,
    /** The oldest state that can be read, and when it was the present one. */
    oldestIndex: logIndexSchema,
    oldestTimeMs: timeMsSchema,
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

/** What happened at a path, oldest first, as far as the history reaches back. */
export const history = defineCall(
  "namespace.history",
  v.object({
    path: pathSchema,
    read: readModeSchema,
    /** From the page before. */
    from: v.optional(logIndexSchema),
    limit: v.pipe(countSchema, v.minValue(1), v.maxValue(HISTORY_LIMIT_MAX)),
  }),
  v.object({
    index: logIndexSchema,
    oldestIndex: logIndexSchema,
    versions: v.array(
      v.object({
        index: logIndexSchema,
        timeMs: timeMsSchema,
        /** `existing`: there already at `oldestIndex`, since `index`. */
        change: v.picklist(PATH_CHANGES),
        /** What is there from `index` on; null where nothing is. */
        attributes: v.nullable(attributesSchema),
        /** Where it came from or went to, as of then. */
        otherPath: v.nullable(pathSchema),
      }),
    ),
    /** Where the next page begins; null after the last. */
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
