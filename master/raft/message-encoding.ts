import { assert, unreachable } from "../../shared/base/assert.ts";
import type { LogIndex, MemberId, Term } from "../../shared/base/ids.ts";
import { ByteReader, malformed } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import {
  readEntries,
  readMember,
  readPosition,
  readProposals,
  readSnapshot,
  writeEntries,
  writePosition,
  writeProposals,
  writeSnapshot,
} from "./encoding.ts";
import { entriesSizeBytes } from "./entries.ts";
import type { PeerMessage } from "./messages.ts";

/** The position of a kind is its code on the wire: new kinds are appended. */
const KINDS = [
  "vote-request",
  "vote-reply",
  "pre-vote-request",
  "pre-vote-reply",
  "append-request",
  "append-accepted",
  "append-rejected",
  "heartbeat-request",
  "heartbeat-reply",
  "snapshot-request",
  "timeout-now",
  "transfer-request",
  "propose-request",
  "read-index-request",
  "read-index-reply",
] as const satisfies readonly PeerMessage["kind"][];

/** Kind, sender and receiver. A message has no length field: its length follows from its fields. */
const MESSAGE_HEADER_BYTES = 1 + 8 + 8;

/** Upper bound for the fields of a message without entries, proposals and snapshot. */
const MESSAGE_FIELDS_BYTES = 96;

/** Encodes one message; see `encodeMessages`. */
export function encodeMessage(message: PeerMessage): Uint8Array {
  return encodeMessages([message]);
}

/**
 * Encodes messages one after the other. Integers are little-endian and have 8 bytes unless stated
 * otherwise.
 *
 *     offset  size  field
 *          0     1  kind: its position in KINDS
 *          1     8  from
 *          9     8  to
 *         17     n  the fields of the kind, in the order of `writeFields`
 */
export function encodeMessages(messages: readonly PeerMessage[]): Uint8Array {
  const sizeBytes = messages.reduce((sum, message) => sum + estimatedSizeBytes(message), 0);
  const writer = new ByteWriter(sizeBytes);
  for (const message of messages) {
    writer.u8(KINDS.indexOf(message.kind));
    writer.integer(message.from);
    writer.integer(message.to);
    writeFields(writer, message);
  }
  return writer.finish();
}

/**
 * Decodes all messages in `bytes`. The data of entries are views of `bytes`, which must not be
 * modified afterwards.
 *
 * @throws {AshlarError} PROTOCOL_ERROR if the bytes are not complete messages, or if a message
 *   violates an invariant of Raft.
 */
export function decodeMessages(bytes: Uint8Array): readonly PeerMessage[] {
  const reader = new ByteReader(bytes);
  const messages: PeerMessage[] = [];
  while (reader.remainingBytes > 0) messages.push(readMessage(reader));
  return messages;
}

/** Returns an initial buffer size, so that the writer rarely grows. */
function estimatedSizeBytes(message: PeerMessage): number {
  const fixedBytes = MESSAGE_HEADER_BYTES + MESSAGE_FIELDS_BYTES;
  if (message.kind !== "append-request") return fixedBytes;
  return fixedBytes + entriesSizeBytes(message.entries);
}

function writeFields(writer: ByteWriter, message: PeerMessage): void {
  if (message.kind === "propose-request") {
    writeProposals(writer, message.proposals);
    return;
  }
  if (message.kind === "read-index-request") {
    writer.integer(message.readId);
    return;
  }
  assert(message.term > 0, "a message belongs to a term");
  writer.integer(message.term);
  writeTermFields(writer, message);
}

type TermMessage = Extract<PeerMessage, { term: Term }>;

function writeTermFields(writer: ByteWriter, message: TermMessage): void {
  switch (message.kind) {
    case "vote-request":
      writePosition(writer, message.last);
      writer.flag(message.isTransfer);
      return;
    case "pre-vote-request":
      writePosition(writer, message.last);
      return;
    case "vote-reply":
    case "pre-vote-reply":
      writer.flag(message.granted);
      return;
    case "append-request":
      writePosition(writer, message.previous);
      writer.integer(message.commitIndex);
      writeEntries(writer, message.entries);
      return;
    case "append-accepted":
      writer.integer(message.matchIndex);
      return;
    case "append-rejected":
      writer.integer(message.rejectedIndex);
      writePosition(writer, message.hint);
      return;
    case "heartbeat-request":
      writer.integer(message.commitIndex);
      writer.integer(message.readSequence);
      return;
    case "heartbeat-reply":
      writer.integer(message.readSequence);
      return;
    case "snapshot-request":
      writeSnapshot(writer, message.snapshot);
      return;
    case "timeout-now":
      return;
    case "transfer-request":
      writer.integer(message.transferee);
      return;
    case "read-index-reply":
      writer.integer(message.readId);
      writer.integer(message.readIndex);
      return;
    default:
      unreachable(message);
  }
}

interface Header {
  readonly from: MemberId;
  readonly to: MemberId;
}

function readMessage(reader: ByteReader): PeerMessage {
  const kind = KINDS[reader.u8()];
  if (kind === undefined) throw malformed("a known kind of message");
  const header: Header = { from: readMember(reader), to: readMember(reader) };
  if (kind === "propose-request") return { kind, ...header, proposals: readProposals(reader) };
  if (kind === "read-index-request") return { kind, ...header, readId: reader.integer() };
  const term = reader.integer() as Term;
  if (term === 0) throw malformed("a term of at least 1");
  return readTermMessage(reader, kind, { ...header, term });
}

function readTermMessage(
  reader: ByteReader,
  kind: TermMessage["kind"],
  header: Header & { readonly term: Term },
): PeerMessage {
  switch (kind) {
    case "vote-request":
      return { kind, ...header, last: readPosition(reader), isTransfer: reader.flag() };
    case "pre-vote-request":
      return { kind, ...header, last: readPosition(reader) };
    case "vote-reply":
    case "pre-vote-reply":
      return { kind, ...header, granted: reader.flag() };
    case "append-request": {
      const previous = readPosition(reader);
      if (previous.term > header.term)
        throw malformed("a previous term of at most the message's term");
      const commitIndex = reader.integer() as LogIndex;
      const entries = readEntries(reader, previous);
      const lastTerm = entries.at(-1)?.term ?? previous.term;
      if (lastTerm > header.term) throw malformed("entries of at most the message's term");
      return { kind, ...header, previous, commitIndex, entries };
    }
    case "append-accepted":
      return { kind, ...header, matchIndex: reader.integer() as LogIndex };
    case "append-rejected":
      return {
        kind,
        ...header,
        rejectedIndex: reader.integer() as LogIndex,
        hint: readPosition(reader),
      };
    case "heartbeat-request":
      return {
        kind,
        ...header,
        commitIndex: reader.integer() as LogIndex,
        readSequence: reader.integer(),
      };
    case "heartbeat-reply":
      return { kind, ...header, readSequence: reader.integer() };
    case "snapshot-request":
      return { kind, ...header, snapshot: readSnapshot(reader) };
    case "timeout-now":
      return { kind, ...header };
    case "transfer-request":
      return { kind, ...header, transferee: readMember(reader) };
    case "read-index-reply":
      return { kind, ...header, readId: reader.integer(), readIndex: reader.integer() as LogIndex };
    default:
      return unreachable(kind);
  }
}
