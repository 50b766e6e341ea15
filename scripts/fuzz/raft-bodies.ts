import fc from "fast-check";
import { encodeMessages } from "../../master/raft/message-encoding.ts";
import type { Entry, PeerMessage } from "../../master/raft/messages.ts";
import type { LogIndex, MemberId, Term } from "../../shared/base/ids.ts";
import type { KnownValues } from "./values.ts";

/**
 * Raft trusts its members, so a message that only lies may do harm: a false vote, a false
 * acknowledgement, an entry of a false leader. The generated messages have terms and indexes that a
 * member must refuse or ignore. `test/master/raft/hostile-messages.test.ts` sends all others to a node
 * without a cluster.
 */
const FAR = [2 ** 41, 2 ** 48, 2 ** 53 - 2, 2 ** 53 - 1];
/** Indexes that no log of the run has, and 0. */
const INDEXES = [0, 2 ** 32, 2 ** 53 - 2, 2 ** 53 - 1];
const BATCH_MAX = 4;
const CHANGES_MAX = 3;

/**
 * Returns a generator of batches of Raft messages, some with changed bytes.
 *
 * @param open the request that opens their stream
 */
export function raftBodiesOf({ raftTerm }: KnownValues, open: unknown): fc.Arbitrary<Uint8Array> {
  const batches = fc.array(messagesOf(raftTerm, open), { minLength: 1, maxLength: BATCH_MAX });
  const change = fc.record({ at: fc.nat(200), byte: fc.nat(255) });
  const changes = fc.oneof(
    { arbitrary: fc.constant([]), weight: 3 },
    // The kind and the term of the first message stay: a changed one could be harmful.
    { arbitrary: fc.array(change, { maxLength: CHANGES_MAX }), weight: 1 },
  );
  return fc.tuple(batches, changes).map(([messages, changed]) => {
    const bytes = encodeMessages(changed.length > 0 ? messages.slice(0, 1) : messages);
    for (const { at, byte } of changed) if (at > 25 && at < bytes.length) bytes[at] = byte;
    return bytes;
  });
}

/** Generates a member id: most are that of the stream, others are refused. */
function idsOf(field: unknown): fc.Arbitrary<MemberId> {
  const own = Number.isSafeInteger(field) && (field as number) > 0 ? (field as MemberId) : 1;
  return fc.oneof(
    { arbitrary: fc.constant(own), weight: 19 },
    { arbitrary: fc.constantFrom(1, 2, 3), weight: 1 },
  ) as fc.Arbitrary<MemberId>;
}

function messagesOf(raftTerm: number, open: unknown): fc.Arbitrary<PeerMessage> {
  const { from, to } = (open ?? {}) as { readonly from?: unknown; readonly to?: unknown };
  const header = { from: idsOf(from), to: idsOf(to) };
  const past = Array.from({ length: raftTerm - 1 }, (_, offset) => offset + 1);
  /** Terms of messages that a leader of the group could send. */
  const otherTerms = fc.constantFrom(...past, ...FAR) as fc.Arbitrary<Term>;
  const terms = fc.constantFrom(...past, raftTerm, ...FAR) as fc.Arbitrary<Term>;
  const indexes = fc.constantFrom(...INDEXES) as fc.Arbitrary<LogIndex>;
  const positions = fc.record({ index: indexes, term: fc.constant(1 as Term) });
  const kind = <Kind extends PeerMessage["kind"]>(name: Kind) => ({ kind: fc.constant(name) });
  return fc.oneof(
    fc.record({
      ...{ ...kind("vote-request"), ...header, term: otherTerms },
      ...{ last: positions, isTransfer: fc.constant(false) },
    }),
    fc.record({ ...kind("vote-reply"), ...header, term: otherTerms, granted: fc.boolean() }),
    fc.record({ ...kind("pre-vote-request"), ...header, term: terms, last: positions }),
    fc.record({ ...kind("pre-vote-reply"), ...header, term: otherTerms, granted: fc.boolean() }),
    fc.record({
      ...{ ...kind("append-request"), ...header, term: otherTerms },
      ...{ previous: positions, commitIndex: indexes },
      entries: fc.constantFrom<readonly Entry[]>([]),
    }),
    fc.record({ ...kind("append-accepted"), ...header, term: terms, matchIndex: indexes }),
    fc.record({
      ...{ ...kind("append-rejected"), ...header, term: terms },
      ...{ rejectedIndex: indexes, hint: positions },
    }),
    fc.record({
      ...{ ...kind("heartbeat-request"), ...header, term: otherTerms },
      ...{ commitIndex: indexes, readSequence: indexes },
    }),
    fc.record({ ...kind("heartbeat-reply"), ...header, term: terms, readSequence: indexes }),
    fc.record({ ...kind("read-index-request"), ...header, readId: indexes }),
    fc.record({
      ...{ ...kind("read-index-reply"), ...header, term: otherTerms },
      ...{ readId: indexes, readIndex: indexes },
    }),
    fc.record({
      ...{ ...kind("propose-request"), ...header },
      proposals: fc.constant([{ kind: "normal" as const, data: new Uint8Array(3) }]),
    }),
  ) as fc.Arbitrary<PeerMessage>;
}
