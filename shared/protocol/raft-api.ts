import * as v from "valibot";
import { defineCall, defineStream } from "./method.ts";
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

/** What masters say to each other. */

const envelope = {
  clusterId: clusterIdSchema,
  from: memberIdSchema,
  to: memberIdSchema,
  /** Drawn once per data directory: a member that lost its directory is not the same member. */
  fromIncarnation: shortTextSchema,
  /** Where the sender listens: its peer may not have applied that it was added. */
  fromAddress: v.optional(addressSchema),
};

/** Raft messages, one way. Each body is a batch: `encodeMessages` of master/raft. */
export const raftMessages = defineStream("raft.messages", {
  open: v.object(envelope),
  up: v.object({}),
  down: v.object({}),
});

/**
 * A snapshot of the state: its rows in key order, in parts. An "entry" in the names of its fields is
 * such a row, not an entry of the log. Body of a part: pairs of (u32 key length, u32 value length,
 * key, value), little-endian. The receiver answers once it stands in its own store, durable.
 */
export const raftSnapshot = defineStream("raft.snapshot", {
  open: v.object({
    ...envelope,
    index: logIndexSchema,
    term: termSchema,
    /** Leader's term. */
    leaderTerm: termSchema,
    /** Encoded membership at `index`. */
    membership: v.instance(Uint8Array),
    /** Rows that are not sent: the receiver said that it has them (`raft.hello`). */
    skippedCount: v.optional(countSchema, 0),
  }),
  up: v.variant("kind", [
    v.object({ kind: v.literal("part"), entryCount: countSchema }),
    /** Of all rows, skipped or not; BLAKE3 over all of them as bodies hold them, in order. */
    v.object({ kind: v.literal("end"), entryCount: countSchema, digest: digestSchema }),
  ]),
  down: v.object({ kind: v.literal("installed"), index: logIndexSchema }),
});

/** Who stands at an address: sent once before the streams, so that a wrong peer is named at once. */
export const raftHello = defineCall(
  "raft.hello",
  v.object(envelope),
  v.object({
    memberId: memberIdSchema,
    incarnation: shortTextSchema,
    /** Whether the sender is one of its members, as of `appliedIndex`, and who they are. */
    isMember: v.optional(v.boolean(), true),
    appliedIndex: v.optional(logIndexSchema, 0),
    members: v.optional(v.array(v.object({ id: memberIdSchema, address: addressSchema })), []),
    /** A member that holds nothing and would found a cluster of its own cannot be added to another. */
    isFounding: v.optional(v.boolean(), false),
    /** The beginning of a snapshot whose transfer broke off: it can go on from there. */
    snapshotHeld: v.optional(
      v.object({ index: logIndexSchema, term: termSchema, entryCount: countSchema }),
    ),
  }),
);
