import type { MemberId } from "../../shared/base/ids.ts";
import type { MemberAddress } from "../consensus.ts";
import { ByteReader } from "../raft/byte-reader.ts";
import { ByteWriter } from "../raft/byte-writer.ts";
import { readMember, readMembership, writeMembership } from "../raft/encoding.ts";
import type { Membership } from "../raft/messages.ts";

/** A member as the log knows it: where it listens, and which of its data directories counts. */
export interface MemberRecord extends MemberAddress {
  /** Empty: whichever the peers meet first. */
  readonly incarnation: string;
}

/** Who takes part, and what the log says of each. Stands beside the state, and in its snapshots. */
export interface MembershipRecord {
  readonly membership: Membership;
  /**
   * By ascending id. Empty before the first change of the membership: until then the founders'
   * configs say where the members are. Every change names all members, so from then on it is whole.
   */
  readonly members: readonly MemberRecord[];
}

/** Id, and the lengths of two texts. */
const ENTRY_BYTES_MIN = 8 + 4 + 4;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The membership, then (unless there are none) the entries, as `encodeEntries` writes them. */
export function encodeMembershipRecord({ membership, members }: MembershipRecord): Uint8Array {
  const writer = new ByteWriter();
  writeMembership(writer, membership);
  if (members.length > 0) writeMemberRecords(writer, members);
  return writer.finish();
}

/** @throws {AshlarError} PROTOCOL_ERROR */
export function decodeMembershipRecord(bytes: Uint8Array): MembershipRecord {
  const reader = new ByteReader(bytes);
  const membership = readMembership(reader);
  const members = reader.remainingBytes === 0 ? [] : readMemberRecords(reader);
  reader.end();
  return { membership, members };
}

/**
 * What a membership change says beside its operations: a count, then for each entry its id (8 bytes)
 * and address and incarnation, each a length (4 bytes) and UTF-8. Integers are little-endian.
 */
export function encodeMemberRecords(entries: readonly MemberRecord[]): Uint8Array {
  const writer = new ByteWriter();
  writeMemberRecords(writer, entries);
  return writer.finish();
}

/** No bytes are no entries: leaving a joint configuration says nothing new. */
export function decodeMemberRecords(bytes: Uint8Array): readonly MemberRecord[] {
  if (bytes.length === 0) return [];
  const reader = new ByteReader(bytes);
  const entries = readMemberRecords(reader);
  reader.end();
  return entries;
}

/** The entries after a change that said `news`: of the members of `membership` and nobody else. */
export function memberRecordsAfter(
  entries: readonly MemberRecord[],
  news: readonly MemberRecord[],
  membership: Membership,
): readonly MemberRecord[] {
  const byId = new Map([...entries, ...news].map((entry) => [entry.id, entry]));
  return memberIdsOf(membership).flatMap((id) => byId.get(id) ?? []);
}

/** All who receive the log, by ascending id. */
export function memberIdsOf({ voters, votersOutgoing, learners }: Membership): MemberId[] {
  const ids = new Set([...voters, ...votersOutgoing, ...learners]);
  return [...ids].sort((left, right) => left - right);
}

function writeMemberRecords(writer: ByteWriter, entries: readonly MemberRecord[]): void {
  writer.u32(entries.length);
  for (const { id, address, incarnation } of entries) {
    writer.integer(id);
    writer.bytes(encoder.encode(address));
    writer.bytes(encoder.encode(incarnation));
  }
}

function readMemberRecords(reader: ByteReader): MemberRecord[] {
  const count = reader.count(ENTRY_BYTES_MIN);
  return Array.from({ length: count }, () => {
    const id = readMember(reader);
    const address = decoder.decode(reader.bytes());
    return { id, address, incarnation: decoder.decode(reader.bytes()) };
  });
}
