import { AshlarError } from "../../shared/base/errors.ts";
import type { MemberId } from "../../shared/base/ids.ts";
import type { MemberAddress } from "../consensus.ts";
import { ByteReader } from "../raft/byte-reader.ts";
import { ByteWriter } from "../raft/byte-writer.ts";
import { readMember, readMembership, writeMembership } from "../raft/encoding.ts";
import type { Membership } from "../raft/messages.ts";

/**
 * A member as the log stores it: its id, its address, and the incarnation of its data directory.
 */
export interface MemberRecord extends MemberAddress {
  /**
   * Empty if it is not known yet. Each peer then accepts the first incarnation that the member
   * presents.
   */
  readonly incarnation: string;
}

/** The membership and the records of its members. Stored with the state and in its snapshots. */
export interface MembershipRecord {
  readonly membership: Membership;
  /**
   * By ascending id. Entry 1 has the founders with their incarnations and without addresses, which
   * are in their configs. A cluster of version 0.1.0 has no records before its first membership
   * change. Every change contains the records of all members.
   */
  readonly members: readonly MemberRecord[];
}

/** First byte of the data of entry 1. */
const FOUNDING_FORMAT = 1;
/** Smallest size of an encoded member record: the id, and the lengths of two texts. */
const RECORD_BYTES_MIN = 8 + 4 + 4;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Encodes the membership, followed by the member records unless there are none. */
export function encodeMembershipRecord({ membership, members }: MembershipRecord): Uint8Array {
  const writer = new ByteWriter();
  writeMembership(writer, membership);
  if (members.length > 0) writeMemberRecords(writer, members);
  return writer.finish();
}

/** Decodes the bytes of `encodeMembershipRecord`. @throws {AshlarError} PROTOCOL_ERROR */
export function decodeMembershipRecord(bytes: Uint8Array): MembershipRecord {
  const reader = new ByteReader(bytes);
  const membership = readMembership(reader);
  const members = reader.remainingBytes === 0 ? [] : readMemberRecords(reader);
  reader.end();
  return { membership, members };
}

/** Encodes the data of entry 1: a format byte, and the membership record of the new group. */
export function encodeFounding(record: MembershipRecord): Uint8Array {
  const encoded = encodeMembershipRecord(record);
  const data = new Uint8Array(1 + encoded.length);
  data[0] = FOUNDING_FORMAT;
  data.set(encoded, 1);
  return data;
}

/**
 * Decodes the data of entry 1. Returns null for a group that version 0.1.0 founded: it has no data.
 *
 * @throws {AshlarError} VERSION_MISMATCH, PROTOCOL_ERROR
 */
export function decodeFounding(data: Uint8Array): MembershipRecord | null {
  if (data.length === 0) return null;
  if (data[0] === FOUNDING_FORMAT) return decodeMembershipRecord(data.subarray(1));
  throw new AshlarError(
    "VERSION_MISMATCH",
    `Cannot read the first entry of the log: expected format ${FOUNDING_FORMAT}: current value is ${data[0]}`,
  );
}

/**
 * Encodes the context of a membership change: a count (4 bytes), then for each member its id (8
 * bytes), its address and its incarnation. A text is a length (4 bytes) and UTF-8. Integers are
 * little-endian.
 */
export function encodeMemberRecords(members: readonly MemberRecord[]): Uint8Array {
  const writer = new ByteWriter();
  writeMemberRecords(writer, members);
  return writer.finish();
}

/**
 * Decodes the context of a membership change. An empty context has no records: the entry that
 * leaves a joint configuration changes no record.
 */
export function decodeMemberRecords(bytes: Uint8Array): readonly MemberRecord[] {
  if (bytes.length === 0) return [];
  const reader = new ByteReader(bytes);
  const members = readMemberRecords(reader);
  reader.end();
  return members;
}

/**
 * Returns the member records after a change. `changed` takes precedence over `known`. The result
 * contains records of the members of `membership` only.
 */
export function memberRecordsAfter(
  known: readonly MemberRecord[],
  changed: readonly MemberRecord[],
  membership: Membership,
): readonly MemberRecord[] {
  const byId = new Map([...known, ...changed].map((member) => [member.id, member]));
  return memberIdsOf(membership).flatMap((id) => byId.get(id) ?? []);
}

/** Returns the ids of all members that receive the log: voters and learners, by ascending id. */
export function memberIdsOf({ voters, votersOutgoing, learners }: Membership): MemberId[] {
  const ids = new Set([...voters, ...votersOutgoing, ...learners]);
  return [...ids].sort((left, right) => left - right);
}

function writeMemberRecords(writer: ByteWriter, members: readonly MemberRecord[]): void {
  writer.u32(members.length);
  for (const { id, address, incarnation } of members) {
    writer.integer(id);
    writer.bytes(encoder.encode(address));
    writer.bytes(encoder.encode(incarnation));
  }
}

function readMemberRecords(reader: ByteReader): MemberRecord[] {
  const count = reader.count(RECORD_BYTES_MIN);
  return Array.from({ length: count }, () => {
    const id = readMember(reader);
    const address = decoder.decode(reader.bytes());
    return { id, address, incarnation: decoder.decode(reader.bytes()) };
  });
}
