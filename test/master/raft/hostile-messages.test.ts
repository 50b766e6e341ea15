import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { decodeMessages, encodeMessages } from "../../../master/raft/message-encoding.ts";
import type { Entry, PeerMessage } from "../../../master/raft/messages.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { LogIndex, MemberId, Term } from "../../../shared/base/ids.ts";
import {
  acknowledgeAll,
  entry,
  id,
  index,
  settle,
  snapshotAt,
  type TestNode,
  testNode,
} from "./raft-fixtures.ts";

/** Numbers from which the fields of a message are made: relative to the state of the node, or not. */
interface Choice {
  readonly kind: PeerMessage["kind"];
  readonly from: number;
  readonly term: number;
  readonly indexes: readonly [number, number, number];
  readonly entryCount: number;
  readonly flag: boolean;
}

const KINDS: readonly PeerMessage["kind"][] = [
  ...(["vote-request", "vote-reply", "pre-vote-request", "pre-vote-reply"] as const),
  ...(["append-request", "append-accepted", "append-rejected", "snapshot-request"] as const),
  ...(["heartbeat-request", "heartbeat-reply", "timeout-now", "transfer-request"] as const),
  ...(["propose-request", "read-index-request", "read-index-reply"] as const),
];

/** Differences to the term or the last index of the node, and absolute values far away from both. */
const OFFSETS = [-3, -2, -1, 0, 0, 0, 1, 2, 3];
const FAR = [0, 1, 2 ** 31, 2 ** 32, 2 ** 48, 2 ** 53 - 2, 2 ** 53 - 1];
const numbers = fc.oneof(
  { arbitrary: fc.constantFrom(...OFFSETS), weight: 5 },
  { arbitrary: fc.constantFrom(...FAR.map((far) => far + 1_000)), weight: 1 },
);

const choices: fc.Arbitrary<Choice> = fc.record({
  kind: fc.constantFrom(...KINDS),
  from: fc.constantFrom(2, 2, 3, 3, 4, 99),
  term: numbers,
  indexes: fc.tuple(numbers, numbers, numbers),
  entryCount: fc.nat(4),
  flag: fc.boolean(),
});

/** Returns `base` changed by a small number, or the number itself if it is large. */
function near(base: number, number: number, minimum: number): number {
  const value = number >= 1_000 ? number - 1_000 : base + number;
  return Math.min(Math.max(value, minimum), Number.MAX_SAFE_INTEGER);
}

function messageOf({ core }: TestNode, choice: Choice): PeerMessage {
  const { from, flag, kind } = choice;
  const term = near(core.term, choice.term, 1) as Term;
  const [first, second, third] = choice.indexes.map((each) =>
    near(core.log.lastIndex(), each, 0),
  ) as [LogIndex, LogIndex, LogIndex];
  const position = {
    index: first,
    term: Math.min(near(core.term, choice.indexes[1], 0), term) as Term,
  };
  const header = { from: id(from), to: core.id };
  switch (kind) {
    case "vote-request":
      return { kind, ...header, term, last: position, isTransfer: flag };
    case "pre-vote-request":
      return { kind, ...header, term, last: position };
    case "vote-reply":
    case "pre-vote-reply":
      return { kind, ...header, term, granted: flag };
    case "append-request": {
      const entries = entriesAfter(position, choice.entryCount, term);
      return { kind, ...header, term, previous: position, entries, commitIndex: third };
    }
    case "append-accepted":
      return { kind, ...header, term, matchIndex: first };
    case "append-rejected":
      return { kind, ...header, term, rejectedIndex: second, hint: position };
    case "snapshot-request": {
      const snapshot = snapshotAt(position.term, Math.max(1, first), flag ? [1, 2, 3] : [2, 3]);
      return { kind, ...header, term, snapshot };
    }
    case "heartbeat-request":
      return { kind, ...header, term, commitIndex: first, readSequence: second };
    case "heartbeat-reply":
      return { kind, ...header, term, readSequence: second };
    case "timeout-now":
      return { kind, ...header, term };
    case "transfer-request":
      return { kind, ...header, term, transferee: second as unknown as MemberId };
    case "propose-request":
      return { kind, ...header, proposals: [{ kind: "normal", data: new Uint8Array(3) }] };
    case "read-index-request":
      return { kind, ...header, readId: first };
    case "read-index-reply":
      return { kind, ...header, term, readId: first, readIndex: second };
  }
}

/** Entries after `position`, as far as an encoding allows. */
function entriesAfter(
  position: { readonly index: number; readonly term: number },
  count: number,
  term: number,
): Entry[] {
  const room = Math.min(count, Number.MAX_SAFE_INTEGER - position.index);
  return Array.from({ length: room }, (_, offset) =>
    entry(offset === 0 ? Math.max(position.term, 1) : term, position.index + 1 + offset),
  );
}

/** Makes the node the leader of the next term, with pre-vote too. */
function lead(test: TestNode): void {
  const { core, node } = test;
  const header = { to: core.id, granted: true } as const;
  node.campaign();
  settle(test);
  const nextTerm = (core.term + 1) as Term;
  if (core.role.kind === "pre-candidate") {
    for (const from of [2, 3]) {
      node.step({ kind: "pre-vote-reply", ...header, from: id(from), term: nextTerm });
    }
    settle(test);
  }
  for (const from of [2, 3]) {
    node.step({ kind: "vote-reply", ...header, from: id(from), term: core.term });
  }
  settle(test);
  assert.equal(core.role.kind, "leader");
  acknowledgeAll(test);
}

/** A node in one of its roles, with some entries. */
function nodeIn(role: "follower" | "leader" | "candidate", isStrict: boolean): TestNode {
  const entries = [entry(1, 2), entry(1, 3), entry(2, 4)];
  const hardState = { term: 2 as Term, votedFor: id(2), commitIndex: index(3) };
  const test = testNode({ entries, hardState, preVote: isStrict, checkQuorum: isStrict });
  settle(test);
  if (role === "leader") {
    lead(test);
    test.node.propose([new Uint8Array(1)]);
  } else if (role === "candidate") test.node.campaign();
  settle(test);
  return test;
}

/** Encodes what the node sends, as the driver does. */
function assertEncodable(sent: readonly PeerMessage[]): void {
  for (const message of sent) if (message.kind !== "snapshot-request") encodeMessages([message]);
}

describe("messages that no sound member sends", () => {
  for (const role of ["follower", "leader", "candidate"] as const) {
    it(`fail no assertion of a ${role}, and can be answered`, () => {
      let refusedCount = 0;
      fc.assert(
        fc.property(
          fc.array(choices, { minLength: 1, maxLength: 12 }),
          fc.boolean(),
          (hostile, isStrict) => {
            const test = nodeIn(role, isStrict);
            for (const choice of hostile) {
              const before = test.core.term;
              const result = test.node.step(messageOf(test, choice));
              if (typeof result === "object") {
                refusedCount += 1;
                assert.equal(test.core.term, before, "a refused message changes nothing");
                if (result.kind === "log-lost") return;
              }
              assertEncodable(settle(test));
              test.node.tick();
            }
          },
        ),
        { numRuns: 1_000 },
      );
      assert.ok(refusedCount > 100, `${refusedCount} messages were refused`);
    });
  }

  it("are read as messages or refused, with any byte changed or missing", () => {
    fc.assert(
      fc.property(
        fc.array(choices, { minLength: 1, maxLength: 4 }),
        fc.array(fc.record({ at: fc.nat(10_000), byte: fc.nat(255) }), { maxLength: 4 }),
        fc.nat(400),
        (hostile, changes, cutBytes) => {
          const test = nodeIn("follower", true);
          const bytes = encodeMessages(hostile.map((choice) => messageOf(test, choice)));
          for (const { at, byte } of changes) bytes[at % bytes.length] = byte;
          const cut = bytes.subarray(0, cutBytes > 200 ? bytes.length : bytes.length - cutBytes);
          try {
            for (const message of decodeMessages(cut)) test.node.step(message);
          } catch (error) {
            assert.ok(isAshlarError(error, "PROTOCOL_ERROR"), String(error));
          }
          assertEncodable(settle(test));
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
