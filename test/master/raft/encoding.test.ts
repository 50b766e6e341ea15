import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ENTRY_HEADER_BYTES } from "../../../master/raft/entries.ts";
import { proposalOf } from "../../../master/raft/membership-change.ts";
import {
  decodeMessages,
  encodeMessage,
  encodeMessages,
} from "../../../master/raft/message-encoding.ts";
import type {
  Entry,
  EntryPosition,
  Membership,
  PeerMessage,
} from "../../../master/raft/messages.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { LogIndex, MemberId, Term } from "../../../shared/base/ids.ts";
import { entry, id, snapshotAt } from "./raft-fixtures.ts";

const numbers = fc.oneof(fc.nat(1_000), fc.maxSafeNat());
const indexes = numbers.map((value) => value as LogIndex);
const members = fc.integer({ min: 1, max: 2 ** 40 }).map((value) => value as MemberId);
const terms = fc.integer({ min: 1, max: 1_000 }).map((value) => value as Term);
const data = fc.uint8Array({ maxLength: 40 });
const positions: fc.Arbitrary<EntryPosition> = fc.record({ index: indexes, term: terms });

/** Returns entries without a gap, whose terms do not decrease. */
function entriesAfter(previous: EntryPosition, payloads: readonly Uint8Array[]): readonly Entry[] {
  return payloads.map((payload, offset) => ({
    index: (previous.index + 1 + offset) as LogIndex,
    term: (previous.term + Math.floor(offset / 2)) as Term,
    kind: "normal",
    data: payload,
  }));
}

const header = { from: members, to: members };
const inTerm = { ...header, term: terms };
const constantKind = <Kind extends PeerMessage["kind"]>(kind: Kind) => fc.constant(kind);

const appendRequests: fc.Arbitrary<PeerMessage> = fc
  .record({
    ...header,
    previous: fc.record({ index: fc.nat(1_000), term: fc.nat(5) }),
    payloads: fc.array(data, { maxLength: 5 }),
    commitIndex: indexes,
  })
  .map(({ previous: given, payloads, ...rest }) => {
    const previous = given as EntryPosition;
    const kind = "append-request" as const;
    const after = { index: previous.index, term: Math.max(1, previous.term) as Term };
    return { kind, ...rest, term: 99 as Term, previous, entries: entriesAfter(after, payloads) };
  });

const messages: fc.Arbitrary<PeerMessage> = fc.oneof(
  appendRequests,
  fc.record({
    kind: constantKind("vote-request"),
    ...inTerm,
    last: positions,
    isTransfer: fc.boolean(),
  }),
  fc.record({ kind: constantKind("vote-reply"), ...inTerm, granted: fc.boolean() }),
  fc.record({ kind: constantKind("pre-vote-request"), ...inTerm, last: positions }),
  fc.record({ kind: constantKind("pre-vote-reply"), ...inTerm, granted: fc.boolean() }),
  fc.record({ kind: constantKind("append-accepted"), ...inTerm, matchIndex: indexes }),
  fc.record({
    kind: constantKind("append-rejected"),
    ...inTerm,
    rejectedIndex: indexes,
    hint: positions,
  }),
  fc.record({
    kind: constantKind("heartbeat-request"),
    ...inTerm,
    commitIndex: indexes,
    readSequence: numbers,
  }),
  fc.record({ kind: constantKind("heartbeat-reply"), ...inTerm, readSequence: numbers }),
  fc.record({
    kind: constantKind("snapshot-request"),
    ...inTerm,
    snapshot: fc.constant(snapshotAt(3, 7, [1, 2, 9])),
  }),
  fc.record({ kind: constantKind("timeout-now"), ...inTerm }),
  fc.record({ kind: constantKind("transfer-request"), ...inTerm, transferee: members }),
  fc.record({
    kind: constantKind("propose-request"),
    ...header,
    proposals: fc.array(fc.record({ kind: fc.constant("normal" as const), data }), {
      minLength: 1,
      maxLength: 4,
    }),
  }),
  fc.record({ kind: constantKind("read-index-request"), ...header, readId: numbers }),
  fc.record({
    kind: constantKind("read-index-reply"),
    ...inTerm,
    readId: numbers,
    readIndex: indexes,
  }),
);

/** Asserts that `decode` returns or throws PROTOCOL_ERROR. @returns whether it returned. */
function decodesOrRefuses(decode: () => unknown): boolean {
  try {
    decode();
    return true;
  } catch (error) {
    assert.ok(error instanceof AshlarError, String(error));
    assert.equal(error.code, "PROTOCOL_ERROR");
    return false;
  }
}

describe("the encoding of messages", () => {
  it("decodes every message of a body to the encoded message", () => {
    fc.assert(
      fc.property(fc.array(messages, { maxLength: 6 }), (batch) => {
        // structuredClone, because records of fast-check have no prototype.
        assert.deepEqual(decodeMessages(encodeMessages(batch)), structuredClone(batch));
      }),
    );
  });

  it("refuses truncated messages", () => {
    fc.assert(
      fc.property(messages, fc.nat(), (message, cut) => {
        const whole = encodeMessage(message);
        const length = cut % whole.length;
        if (length === 0) return;
        assert.ok(!decodesOrRefuses(() => decodeMessages(whole.subarray(0, length))));
      }),
    );
  });

  it("decodes a message with a changed byte or refuses it with PROTOCOL_ERROR", () => {
    fc.assert(
      fc.property(messages, fc.nat(), fc.integer({ min: 1, max: 255 }), (message, seed, flip) => {
        const damaged = Uint8Array.from(encodeMessage(message));
        const offset = seed % damaged.length;
        damaged[offset] = (damaged[offset] as number) ^ flip;
        decodesOrRefuses(() => decodeMessages(damaged));
      }),
      { numRuns: 500 },
    );
  });

  it("decodes random bytes or refuses them with PROTOCOL_ERROR", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        decodesOrRefuses(() => decodeMessages(noise));
      }),
      { numRuns: 500 },
    );
  });

  it("does not copy the data of entries", () => {
    const previous = { index: 1 as LogIndex, term: 1 as Term };
    const body = encodeMessage({
      ...{ kind: "append-request", from: id(1), to: id(2), term: 1 as Term, previous },
      entries: [entry(1, 2, "data")],
      commitIndex: 1 as LogIndex,
    } as PeerMessage);
    const [message] = decodeMessages(body);
    assert.ok(message?.kind === "append-request");
    assert.equal(message.entries[0]?.data.buffer, body.buffer);
  });

  it("refuses a count that exceeds the remaining bytes", () => {
    const request = encodeMessage({
      kind: "propose-request",
      from: id(1),
      to: id(2),
      proposals: [{ kind: "normal", data: new Uint8Array(0) }],
    });
    new DataView(request.buffer).setUint32(17, 0xffff_ffff, true);
    assert.ok(!decodesOrRefuses(() => decodeMessages(request)));
  });
});

describe("the decoding of append requests (Raft §5.3)", () => {
  const base = {
    kind: "append-request",
    from: id(1),
    to: id(2),
    term: 5 as Term,
    previous: { index: 3 as LogIndex, term: 4 as Term },
    commitIndex: 0 as LogIndex,
  } as const;

  it("refuses entries with a gap", () => {
    const message = { ...base, entries: [entry(4, 5)] };
    assert.ok(!decodesOrRefuses(() => decodeMessages(encodeMessage(message))));
  });
  it("refuses terms that decrease or exceed the term of the message", () => {
    for (const entries of [[entry(3, 4)], [entry(6, 4)]]) {
      assert.ok(!decodesOrRefuses(() => decodeMessages(encodeMessage({ ...base, entries }))));
    }
  });
  it("refuses a membership change that cannot be decoded", () => {
    const broken = { ...entry(5, 4), kind: "conf-change" as const, data: Uint8Array.of(1, 2) };
    const message = { ...base, entries: [broken] };
    assert.ok(!decodesOrRefuses(() => decodeMessages(encodeMessage(message))));
  });
});

describe("the encoding of entries and snapshots", () => {
  const addressed = { from: id(1), to: id(2), term: 5 as Term };

  /** Encodes and decodes an append request with this entry. @returns the decoded entry. */
  function roundTrip(written: Entry): Entry | undefined {
    const previous = { index: (written.index - 1) as LogIndex, term: 1 as Term };
    const rest = { previous, commitIndex: 0 as LogIndex };
    const request = { kind: "append-request" as const, ...addressed, ...rest };
    const empty = encodeMessage({ ...request, entries: [] });
    const whole = encodeMessage({ ...request, entries: [written] });
    assert.equal(whole.length - empty.length, ENTRY_HEADER_BYTES + written.data.length);
    const [message] = decodeMessages(whole);
    return message?.kind === "append-request" ? message.entries[0] : undefined;
  }

  it("round-trips the entries of commands and of membership changes", () => {
    fc.assert(
      fc.property(data, fc.integer({ min: 1, max: 5 }), (payload, term) => {
        const index = 7 as LogIndex;
        const written: Entry = { index, term: term as Term, kind: "normal", data: payload };
        assert.deepEqual(roundTrip(written), written);
      }),
    );
    const { kind, data: change } = proposalOf({
      kind: "v1",
      operation: { kind: "remove", memberId: id(3) },
      context: Uint8Array.of(1),
    });
    const written: Entry = { index: 7 as LogIndex, term: 2 as Term, kind, data: change };
    assert.deepEqual(roundTrip(written), written);
  });

  it("round-trips the membership of a snapshot, and refuses an invalid membership", () => {
    const membership: Membership = {
      voters: [1, 2].map(id),
      votersOutgoing: [1, 3].map(id),
      learners: [7].map(id),
      learnersNext: [3].map(id),
      autoLeave: true,
    };
    const encoded = (value: Membership): Uint8Array => {
      const snapshot = { ...snapshotAt(3, 7, []), membership: value };
      return encodeMessage({ kind: "snapshot-request", ...addressed, snapshot });
    };
    const [message] = decodeMessages(encoded(membership));
    assert.ok(message?.kind === "snapshot-request");
    assert.deepEqual(message.snapshot.membership, membership);
    const impossible: readonly Membership[] = [
      { ...membership, learners: [2].map(id) },
      { ...membership, learnersNext: [1].map(id) },
      { ...membership, voters: [2, 1].map(id) },
      { ...membership, votersOutgoing: [], learnersNext: [] },
    ];
    for (const wrong of impossible) {
      assert.ok(!decodesOrRefuses(() => decodeMessages(encoded(wrong))));
    }
  });
});
