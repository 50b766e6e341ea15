import * as v from "valibot";
import { defineCall } from "./method.ts";
import { addressSchema, logIndexSchema, memberIdSchema, termSchema } from "./schemas.ts";

/** Who the masters are, and changing it. The leader answers. */

const masterSchema = v.object({
  memberId: memberIdSchema,
  address: addressSchema,
  /** `leaving` votes only until the change that is under way is done. */
  vote: v.picklist(["voter", "learner", "leaving"]),
  isLeader: v.boolean(),
  /** Of all but the leader. */
  progress: v.nullable(
    v.object({
      /** `probe`: looking for where the logs match; `snapshot`: being sent the state; `replicate`: following. */
      state: v.picklist(["probe", "replicate", "snapshot"]),
      /** Its log is the leader's up to here. */
      matchIndex: logIndexSchema,
      /** It was heard within the last election timeout. */
      isActive: v.boolean(),
    }),
  ),
});

export const mastersStatus = defineCall(
  "masters.status",
  v.object({}),
  v.object({
    term: termSchema,
    lastIndex: logIndexSchema,
    committedIndex: logIndexSchema,
    /** A change is half done: masters that it removes may still be needed. */
    isJoint: v.boolean(),
    /** By ascending number. */
    masters: v.array(masterSchema),
  }),
);
export type MastersStatus = ReturnType<(typeof mastersStatus)["parseResponse"]>;

const memberIdsSchema = v.pipe(v.array(memberIdSchema), v.maxLength(9));

/**
 * One change, all of it or nothing. Answered once it holds. Repeating one that was done is refused:
 * after an answer that was lost ask `masters.status`.
 */
export const changeMasters = defineCall(
  "masters.change",
  v.object({
    /** They get the log and no vote yet. */
    add: v.pipe(v.array(v.object({ id: memberIdSchema, address: addressSchema })), v.maxLength(9)),
    /** They have caught up and get a vote. */
    promote: memberIdsSchema,
    remove: memberIdsSchema,
  }),
  v.object({ index: logIndexSchema }),
);
export type MastersChange = ReturnType<(typeof changeMasters)["parseRequest"]>;

/** Hands leadership to `to`, or for null to whoever lacks least. */
export const transferLeadership = defineCall(
  "masters.transfer",
  v.object({ to: v.nullable(memberIdSchema) }),
  v.object({ leaderId: memberIdSchema }),
);
