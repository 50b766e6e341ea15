import * as v from "valibot";
import { defineCall, defineStream } from "./method.ts";
import { BY_MASTERS } from "./roles.ts";
import {
  addressSchema,
  clusterIdSchema,
  countSchema,
  digestSchema,
  logIndexSchema,
  memberIdSchema,
  shortTextSchema,
  termSchema,
} from "./schemas.ts";

/* Calls and streams between masters. */

const envelope = {
  clusterId: clusterIdSchema,
  from: memberIdSchema,
  to: memberIdSchema,
  /** Random per data directory: a member that lost its directory has another incarnation. */
  fromIncarnation: shortTextSchema,
  /**
   * Address of the sender. The receiver uses it until it has applied the addition of the sender.
   */
  fromAddress: v.optional(addressSchema),
  /** The history of the state of the sender: see `originOf` of master/driver. Absent without a state. */
  origin: v.optional(shortTextSchema),
};

/** Sends Raft messages in one direction. Each body is a batch: `encodeMessages` of master/raft. */
export const raftMessages = defineStream("raft.messages", BY_MASTERS, {
  open: v.object(envelope),
  up: v.object({}),
  down: v.object({}),
});

/**
 * Sends a snapshot of the state: its rows in key order, in parts. In the wire names of its fields
 * an "entry" is such a row, not an entry of the log. Body of a part: a result of `encodePairs`. The
 * receiver answers when the snapshot is durable in its store.
 *
 * If `resumes` is true, the receiver first sends the ranges of rows that it has. The sender sends
 * `keep` for a range that equals its own, and the rows of all other keys.
 */
export const raftSnapshot = defineStream("raft.snapshot", BY_MASTERS, {
  open: v.object({
    ...envelope,
    index: logIndexSchema,
    term: termSchema,
    /** Term of the leader that sends the snapshot. `term` is the term of the entry at `index`. */
    leaderTerm: termSchema,
    /** Encoded membership at `index`. */
    membership: v.instance(Uint8Array),
    /**
     * Whether the receiver sends the ranges that it has. Only if it set `holdsSnapshotRows` in
     * `raft.hello`. Version 0.1.0 does not know the field.
     */
    resumes: v.optional(v.boolean(), false),
  }),
  up: v.variant("kind", [
    v.object({ kind: v.literal("part"), entryCount: countSchema }),
    /** Keeps the range with this number. The first range has number 0, the numbers ascend. */
    v.object({ kind: v.literal("keep"), range: countSchema }),
    /**
     * Removes the rows up to the end of the range with this number that no `keep` has kept. Bounds the rows
     * that the receiver removes in one message.
     */
    v.object({ kind: v.literal("drop"), range: countSchema }),
    /** Count of all rows, and BLAKE3 over their encodings in order. Both include kept rows. */
    v.object({ kind: v.literal("end"), entryCount: countSchema, digest: digestSchema }),
  ]),
  down: v.variant("kind", [
    /**
     * Ranges of rows, in key order. Body: a result of `encodePairs` with the last key of each range,
     * and BLAKE3 over the encoding of its rows, or nothing if they must be sent.
     */
    v.object({ kind: v.literal("held"), isLast: v.boolean() }),
    /** The receiver has processed a `keep` or a `drop`. Sent once for each of them. */
    v.object({ kind: v.literal("kept") }),
    v.object({ kind: v.literal("installed"), index: logIndexSchema }),
  ]),
});
/** Message of `raft.snapshot` from the receiver. */
export type SnapshotReply = ReturnType<(typeof raftSnapshot)["parseDown"]>;

/**
 * Exchanges the identities of two masters. Called once before the streams are opened, so that a
 * wrong peer is detected before Raft messages are sent.
 */
export const raftHello = defineCall(
  "raft.hello",
  BY_MASTERS,
  v.object(envelope),
  v.object({
    memberId: memberIdSchema,
    incarnation: shortTextSchema,
    /** Whether the sender is a member as of `appliedIndex` of the receiver. */
    isMember: v.optional(v.boolean(), true),
    appliedIndex: v.optional(logIndexSchema, 0),
    /**
     * The members as of `appliedIndex`. A receiver that takes part in the group names the incarnation
     * of each that it knows. Version 0.1.0 names none.
     */
    members: v.optional(
      v.array(
        v.object({
          id: memberIdSchema,
          address: shortTextSchema,
          incarnation: v.optional(shortTextSchema),
        }),
      ),
      [],
    ),
    /**
     * Whether the receiver is empty and is configured to found a cluster. Such a master cannot be
     * added to another cluster.
     */
    isFounding: v.optional(v.boolean(), false),
    /**
     * The members with which the receiver founds a cluster, by ascending id. Present while it is
     * empty and does not take part in the group: it neither votes nor stores entries.
     */
    founders: v.optional(v.array(memberIdSchema)),
    /** The history of the state of the receiver, as in the request. */
    origin: v.optional(shortTextSchema),
    /** Whether the receiver has rows of an interrupted snapshot, see `raft.snapshot`. */
    holdsSnapshotRows: v.optional(v.boolean(), false),
  }),
);
