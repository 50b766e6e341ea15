import { assert, unreachable } from "../../shared/base/assert.ts";
import type { MemberId } from "../../shared/base/ids.ts";
import { ByteReader, malformed } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import type { Entry, Proposal } from "./messages.ts";

/** One operation of a membership change, on one member. */
export interface ChangeOperation {
  readonly kind: OperationKind;
  readonly memberId: MemberId;
}

/** `update` does not change the membership; a driver can use it to transport an address. */
export type OperationKind = "add-voter" | "add-learner" | "remove" | "update";

/**
 * A membership change, as an entry of the log stores it.
 *
 * A `v1` change adds or removes at most one voter (thesis §4.1). A `v2` change enters a joint
 * configuration if it has several operations or if `transition` requests it. A `v2` change without
 * operations leaves the joint configuration.
 */
export type MembershipChange =
  | {
      readonly kind: "v1";
      readonly operation: ChangeOperation;
      /** Data of the driver, e.g. the address of a new member. */
      readonly context: Uint8Array;
    }
  | {
      readonly kind: "v2";
      /**
       * `auto`: joint only if there are several operations; the leader proposes to leave it.
       * `implicit`: joint; the leader proposes to leave it. `explicit`: joint until a `v2` change
       * without operations is proposed.
       */
      readonly transition: Transition;
      readonly operations: readonly ChangeOperation[];
      readonly context: Uint8Array;
    };

/** Way in and out of a joint configuration; the names are those of etcd-io/raft. */
export type Transition = "auto" | "implicit" | "explicit";

const OPERATION_KINDS = ["add-voter", "add-learner", "remove", "update"] as const;
const TRANSITIONS = ["auto", "implicit", "explicit"] as const;
/** Kind (1) and member id (8). */
const OPERATION_BYTES = 9;
const NOTHING = new Uint8Array(0);

/** The change that leaves a joint configuration. */
export const LEAVE_JOINT: MembershipChange = {
  kind: "v2",
  transition: "auto",
  operations: [],
  context: NOTHING,
};

/**
 * Encodes `change` as a proposal. Integers are little-endian. An operation is its kind (1 byte) and
 * its member id (8 bytes).
 *
 *     v1: operation, u32 length of the context, context
 *     v2: transition (1 byte), u32 count, operations, u32 length of the context, context
 *
 * `LEAVE_JOINT` is encoded as zero bytes, so that `uncommittedBytesMax` never refuses it.
 */
export function proposalOf(change: MembershipChange): Proposal {
  switch (change.kind) {
    case "v1": {
      const writer = new ByteWriter();
      writeOperation(writer, change.operation);
      writer.bytes(change.context);
      return { kind: "conf-change", data: writer.finish() };
    }
    case "v2":
      return { kind: "conf-change-v2", data: encodeV2(change) };
    default:
      return unreachable(change);
  }
}

/**
 * Decodes an entry.
 *
 * @throws {AshlarError} PROTOCOL_ERROR if its data is not a membership change.
 */
export function decodeChange(entry: Pick<Entry, "kind" | "data">): MembershipChange {
  assert(entry.kind !== "normal", "the entry is a membership change");
  const reader = new ByteReader(entry.data);
  const change = entry.kind === "conf-change" ? decodeV1(reader) : decodeV2(reader);
  reader.end();
  return change;
}

function encodeV2(change: Extract<MembershipChange, { kind: "v2" }>): Uint8Array {
  const { transition, operations, context } = change;
  if (transition === "auto" && operations.length === 0 && context.length === 0) return NOTHING;
  const writer = new ByteWriter();
  writer.u8(TRANSITIONS.indexOf(transition));
  writer.u32(operations.length);
  for (const operation of operations) writeOperation(writer, operation);
  writer.bytes(context);
  return writer.finish();
}

function decodeV1(reader: ByteReader): MembershipChange {
  return { kind: "v1", operation: readOperation(reader), context: reader.bytes() };
}

function decodeV2(reader: ByteReader): MembershipChange {
  if (reader.remainingBytes === 0) return LEAVE_JOINT;
  const transition = TRANSITIONS[reader.u8()];
  if (transition === undefined) throw malformed("a transition");
  const count = reader.count(OPERATION_BYTES);
  const operations = Array.from({ length: count }, () => readOperation(reader));
  return { kind: "v2", transition, operations, context: reader.bytes() };
}

function writeOperation(writer: ByteWriter, operation: ChangeOperation): void {
  writer.u8(OPERATION_KINDS.indexOf(operation.kind));
  writer.integer(operation.memberId);
}

function readOperation(reader: ByteReader): ChangeOperation {
  const kind = OPERATION_KINDS[reader.u8()];
  if (kind === undefined) throw malformed("a membership operation");
  return { kind, memberId: reader.integer() as MemberId };
}
