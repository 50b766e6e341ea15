import * as v from "valibot";
import { defineCall } from "./method.ts";
import { BY_OPERATORS } from "./roles.ts";
import {
  addressSchema,
  countSchema,
  logIndexSchema,
  memberIdSchema,
  refusalSchema,
  shortTextSchema,
  shownTimeMsSchema,
  termSchema,
} from "./schemas.ts";

/* The membership of the masters and its changes. The leader answers. */

const masterSchema = v.object({
  memberId: memberIdSchema,
  /** Empty if the leader does not know it. */
  address: shortTextSchema,
  /** `leaving`: votes only until the pending membership change is complete. */
  vote: v.picklist(["voter", "learner", "leaving"]),
  isLeader: v.boolean(),
  /** Replication progress. Null for the leader. */
  progress: v.nullable(
    v.object({
      /**
       * `probe`: the leader searches the last index at which the logs match. `snapshot`: the member
       * receives the state. `replicate`: the member receives entries.
       */
      state: v.picklist(["probe", "replicate", "snapshot"]),
      /** Last index up to which its log equals the leader's. */
      matchIndex: logIndexSchema,
      /** Whether the leader received a message from it within the last election timeout. */
      isActive: v.boolean(),
      /** Why its messages are refused, so that it does not follow. Absent in old versions. */
      refusal: v.optional(v.nullable(refusalSchema), null),
    }),
  ),
});

/** Returns the members and their progress. */
export const mastersStatus = defineCall(
  "masters.status",
  BY_OPERATORS,
  v.object({}),
  v.object({
    term: termSchema,
    lastIndex: logIndexSchema,
    committedIndex: logIndexSchema,
    /**
     * Whether a joint membership is in effect. Masters that the change removes may still be needed.
     */
    isJoint: v.boolean(),
    /** Ordered by member id. */
    masters: v.array(masterSchema),
  }),
);
/** Response of `masters.status`. */
export type MastersStatus = ReturnType<(typeof mastersStatus)["parseResponse"]>;

const memberIdsSchema = v.pipe(v.array(memberIdSchema), v.maxLength(9));

/**
 * Changes the membership in one step, completely or not at all. The response is sent once the
 * change is in effect. A repeated change is refused: if the response was lost, call
 * `masters.status`.
 */
export const changeMasters = defineCall(
  "masters.change",
  BY_OPERATORS,
  v.object({
    /** New members. They receive the log and have no vote yet. */
    add: v.pipe(v.array(v.object({ id: memberIdSchema, address: addressSchema })), v.maxLength(9)),
    /** Learners that have caught up and get a vote. */
    promote: memberIdsSchema,
    remove: memberIdsSchema,
  }),
  v.object({ index: logIndexSchema }),
);
/** Request of `masters.change`. */
export type MastersChange = ReturnType<(typeof changeMasters)["parseRequest"]>;

/** A master whose program supports a lower feature level than that of another master. */
const olderMasterSchema = v.object({
  id: memberIdSchema,
  address: addressSchema,
  /** The highest feature level that its program supports. */
  featureLevelMax: countSchema,
});

/**
 * Raises the feature level of the cluster to the highest one that all masters support. It never
 * decreases: afterwards no master can return to a version that does not support it.
 */
export const finalizeUpgrade = defineCall(
  "masters.finalize-upgrade",
  BY_OPERATORS,
  v.object({}),
  v.object({
    before: countSchema,
    after: countSchema,
    /** The masters that keep the level from rising further. Absent in old versions. */
    olderMasters: v.optional(v.array(olderMasterSchema), []),
  }),
);

/** Result of `masters.finalize-upgrade`: the feature level before and after it. */
export type FinalizedUpgrade = ReturnType<(typeof finalizeUpgrade)["parseResponse"]>;

/**
 * Steps the time of the cluster, with which entries are stamped, to the median of the clocks of the
 * masters. The response has the times before and after the step.
 */
export const resetClock = defineCall(
  "masters.reset-clock",
  BY_OPERATORS,
  v.object({}),
  v.object({ fromMs: shownTimeMsSchema, toMs: shownTimeMsSchema }),
);

/** Transfers the leadership to `to`, or for null to the most up-to-date member. */
export const transferLeadership = defineCall(
  "masters.transfer",
  BY_OPERATORS,
  v.object({ to: v.nullable(memberIdSchema) }),
  v.object({ leaderId: memberIdSchema }),
);
