import { assert } from "../../shared/base/assert.ts";
import type { LogIndex, MemberId, Term } from "../../shared/base/ids.ts";
import { type ByteReader, malformed } from "./byte-reader.ts";
import type { ByteWriter } from "./byte-writer.ts";
import { ENTRY_HEADER_BYTES } from "./entries.ts";
import { decodeChange } from "./membership-change.ts";
import type {
  Entry,
  EntryKind,
  EntryPosition,
  Membership,
  Proposal,
  Snapshot,
} from "./messages.ts";

const ENTRY_KINDS = ["normal", "conf-change", "conf-change-v2"] as const;
const PROPOSAL_HEADER_BYTES = 5;
const MEMBER_BYTES = 8;

/**
 * Encodes an entry of a message. The log file has a different layout, see
 * `master/storage/log-record.ts`. Integers are little-endian.
 *
 *     offset  size  field
 *          0     8  index, from 1
 *          8     8  term, from 1
 *         16     4  kind: 0 normal, 1 conf-change, 2 conf-change-v2
 *         20     4  n, the length of the data in bytes
 *         24     n  the data
 */
function writeEntry(writer: ByteWriter, entry: Entry): void {
  writer.integer(entry.index);
  writer.integer(entry.term);
  writer.u32(ENTRY_KINDS.indexOf(entry.kind));
  writer.bytes(entry.data);
}

function readEntry(reader: ByteReader): Entry {
  const index = reader.integer() as LogIndex;
  const term = reader.integer() as Term;
  if (index === 0 || term === 0) throw malformed("an entry with index and term of at least 1");
  const kind = readEntryKind(reader.u32());
  const data = readEntryData(reader, kind);
  return { index, term, kind, data };
}

/** Encodes a count (4 bytes), then the entries. */
export function writeEntries(writer: ByteWriter, entries: readonly Entry[]): void {
  writer.u32(entries.length);
  for (const entry of entries) writeEntry(writer, entry);
}

/**
 * Decodes entries. They must follow `previous` without a gap, and terms must not decrease: Raft
 * §5.3.
 *
 * @throws {AshlarError} PROTOCOL_ERROR
 */
export function readEntries(reader: ByteReader, previous: EntryPosition): readonly Entry[] {
  const entries: Entry[] = [];
  const count = reader.count(ENTRY_HEADER_BYTES);
  let last = previous;
  for (let offset = 0; offset < count; offset += 1) {
    const entry = readEntry(reader);
    if (entry.index !== last.index + 1) throw malformed("entries without a gap");
    if (entry.term < last.term) throw malformed("entries in order of their terms");
    entries.push(entry);
    last = entry;
  }
  return entries;
}

/** Encodes a count (4 bytes), then for each proposal kind (1), length of the data (4) and data. */
export function writeProposals(writer: ByteWriter, proposals: readonly Proposal[]): void {
  writer.u32(proposals.length);
  for (const proposal of proposals) {
    writer.u8(ENTRY_KINDS.indexOf(proposal.kind));
    writer.bytes(proposal.data);
  }
}

/** Decodes at least one proposal. @throws {AshlarError} PROTOCOL_ERROR */
export function readProposals(reader: ByteReader): readonly Proposal[] {
  const count = reader.count(PROPOSAL_HEADER_BYTES);
  if (count === 0) throw malformed("a proposal");
  return Array.from({ length: count }, () => {
    const kind = readEntryKind(reader.u8());
    return { kind, data: readEntryData(reader, kind) };
  });
}

/** Encodes index (8 bytes) and term (8). */
export function writePosition(writer: ByteWriter, position: EntryPosition): void {
  writer.integer(position.index);
  writer.integer(position.term);
}

/** Decodes a position. @throws {AshlarError} PROTOCOL_ERROR */
export function readPosition(reader: ByteReader): EntryPosition {
  const index = reader.integer() as LogIndex;
  const term = reader.integer() as Term;
  return { index, term };
}

/** Encodes position, membership, length of the data (4 bytes) and data. */
export function writeSnapshot(writer: ByteWriter, snapshot: Snapshot): void {
  assert(snapshot.index > 0, "a snapshot contains an entry");
  writePosition(writer, snapshot);
  writeMembership(writer, snapshot.membership);
  writer.bytes(snapshot.data);
}

/** Decodes a snapshot. @throws {AshlarError} PROTOCOL_ERROR */
export function readSnapshot(reader: ByteReader): Snapshot {
  const position = readPosition(reader);
  if (position.index === 0) throw malformed("a snapshot with an index of at least 1");
  const membership = readMembership(reader);
  return { ...position, membership, data: reader.bytes() };
}

/**
 * Encodes voters, outgoing voters, learners and next learners, each as a count (4 bytes) and ids
 * (8 bytes each), then `autoLeave` (1 byte).
 */
export function writeMembership(writer: ByteWriter, membership: Membership): void {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = membership;
  for (const ids of [voters, votersOutgoing, learners, learnersNext]) {
    writer.u32(ids.length);
    for (const id of ids) writer.integer(id);
  }
  writer.flag(autoLeave);
}

/** Decodes a membership. @throws {AshlarError} PROTOCOL_ERROR if an invariant does not hold. */
export function readMembership(reader: ByteReader): Membership {
  const voters = readMembers(reader);
  const votersOutgoing = readMembers(reader);
  const learners = readMembers(reader);
  const learnersNext = readMembers(reader);
  const autoLeave = reader.flag();
  checkMembership({ voters, votersOutgoing, learners, learnersNext, autoLeave });
  return { voters, votersOutgoing, learners, learnersNext, autoLeave };
}

/** Rejects a membership that violates an assertion of `checkedMembership`. */
function checkMembership(membership: Membership): void {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = membership;
  const voting = new Set([...voters, ...votersOutgoing]);
  if (learners.some((id) => voting.has(id))) throw malformed("learners that do not vote");
  const isLeaving = (id: MemberId) => votersOutgoing.includes(id) && !voters.includes(id);
  if (!learnersNext.every(isLeaving)) throw malformed("next learners that are outgoing voters");
  if (autoLeave && votersOutgoing.length === 0)
    throw malformed("autoLeave only in a joint membership");
}

function readMembers(reader: ByteReader): readonly MemberId[] {
  const count = reader.count(MEMBER_BYTES);
  const ids = Array.from({ length: count }, () => readMember(reader));
  const isAscending = ids.every((id, offset) => offset === 0 || id > (ids[offset - 1] as MemberId));
  if (!isAscending) throw malformed("members in ascending order");
  return ids;
}

/** Decodes a member id; never `NO_MEMBER`. @throws {AshlarError} PROTOCOL_ERROR */
export function readMember(reader: ByteReader): MemberId {
  const id = reader.integer();
  if (id === 0) throw malformed("a member id of at least 1");
  return id as MemberId;
}

function readEntryKind(code: number): EntryKind {
  const kind = ENTRY_KINDS[code];
  if (kind === undefined) throw malformed("a known kind of entry");
  return kind;
}

/**
 * Decodes the data of an entry, without a copy. Rejects an invalid membership change: once in the
 * log, it could never be applied.
 */
function readEntryData(reader: ByteReader, kind: EntryKind): Uint8Array {
  const data = reader.bytes();
  if (kind !== "normal") decodeChange({ kind, data });
  return data;
}
