import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { entrySizeBytes } from "../../../master/raft/entries.ts";
import { CoreLog } from "../../../master/raft/log.ts";
import type { Entry } from "../../../master/raft/messages.ts";
import { MemoryStorage } from "../../support/raft-memory-storage.ts";
import { at, entry, index, snapshotAt, term } from "./raft-fixtures.ts";

const NO_LIMIT = Number.POSITIVE_INFINITY;

interface LogOptions {
  readonly stable?: readonly Entry[];
  readonly unstable?: readonly Entry[];
  readonly applyingBytesMax?: number;
}

/** Makes a log after a snapshot at index 1 of term 1. */
function logOf(options: LogOptions): { readonly log: CoreLog; readonly storage: MemoryStorage } {
  const { stable = [], unstable = [], applyingBytesMax = NO_LIMIT } = options;
  const storage = new MemoryStorage();
  storage.write({ snapshot: snapshotAt(1, 1, [1]), entries: stable, hardState: null });
  const log = new CoreLog({ storage, applyingBytesMax, applyUnstable: false });
  log.append(unstable);
  return { log, storage };
}

function termsOf(log: CoreLog): readonly (number | null)[] {
  const count = log.lastIndex() - log.firstIndex() + 1;
  return Array.from({ length: count }, (_, offset) => log.term(index(log.firstIndex() + offset)));
}

describe("comparing logs (Raft §5.4.1)", () => {
  const { log } = logOf({ stable: [entry(1, 2), entry(2, 3)] });
  it("prefers the later last term", () => {
    assert.ok(log.isUpToDate(at(3, 2)));
    assert.ok(!log.isUpToDate(at(1, 9)));
  });
  it("prefers the longer log with equal last terms", () => {
    assert.ok(log.isUpToDate(at(2, 3)));
    assert.ok(log.isUpToDate(at(2, 4)));
    assert.ok(!log.isUpToDate(at(2, 2)));
  });
});

describe("entries from a leader (Raft §5.3)", () => {
  const stable = [entry(1, 2), entry(1, 3), entry(2, 4)];

  it("are refused without any change if the logs do not match", () => {
    const { log } = logOf({ stable });
    assert.equal(log.appendFromLeader(at(1, 4), [entry(3, 5)]), null);
    assert.equal(log.appendFromLeader(at(2, 5), [entry(3, 6)]), null);
    assert.deepEqual(termsOf(log), [1, 1, 2]);
  });

  it("replace a conflicting entry and all entries after it", () => {
    const { log } = logOf({ stable });
    assert.equal(log.appendFromLeader(at(1, 2), [entry(3, 3)]), 3);
    assert.deepEqual(termsOf(log), [1, 3]);
  });

  it("keep existing entries and those after them, because the request may be old", () => {
    const { log } = logOf({ stable });
    assert.equal(log.appendFromLeader(at(1, 1), [entry(1, 2), entry(1, 3)]), 3);
    assert.deepEqual(termsOf(log), [1, 1, 2]);
    assert.ok(!log.unstable.hasEntries);
  });

  it("never replace a committed entry", () => {
    const { log } = logOf({ stable });
    log.commitTo(index(3));
    assert.throws(() => log.appendFromLeader(at(1, 2), [entry(3, 3)]), /never overwritten/);
  });
});

describe("a snapshot (Raft §7)", () => {
  it("replaces the whole log, including later entries", () => {
    const { log } = logOf({ stable: [entry(1, 2)], unstable: [entry(1, 3), entry(1, 4)] });
    log.restore(snapshotAt(2, 3, [1]));
    assert.equal(log.lastIndex(), 3);
    assert.equal(log.term(index(4)), null);
    assert.deepEqual(log.unstable.nextEntries(), []);
    log.append([entry(2, 4)]);
    assert.deepEqual(log.unstable.nextEntries(), [entry(2, 4)]);
  });

  it("never reverts committed entries", () => {
    const { log } = logOf({ stable: [entry(1, 2), entry(1, 3)] });
    log.commitTo(index(3));
    assert.throws(() => log.restore(snapshotAt(2, 3, [1])), /never reverts/);
  });
});

describe("the commit index", () => {
  it("advances only to an entry of the leader's own term (Raft §5.4.2)", () => {
    const { log } = logOf({ stable: [entry(1, 2), entry(2, 3)] });
    assert.ok(!log.commitIfInTerm(index(2), term(2)));
    assert.ok(log.commitIfInTerm(index(3), term(2)));
    assert.equal(log.committedIndex, 3);
  });

  it("never decreases", () => {
    const { log } = logOf({ stable: [entry(1, 2), entry(1, 3)] });
    log.commitTo(index(3));
    log.commitTo(index(2));
    assert.equal(log.committedIndex, 3);
  });

  it("stops a member that has lost acknowledged entries (etcd #13509)", () => {
    const { log } = logOf({ stable: [entry(1, 2)] });
    assert.throws(() => log.commitTo(index(3)), /contains every acknowledged entry/);
  });
});

describe("hints for diverging logs (Raft §5.3)", () => {
  const { log } = logOf({
    stable: [entry(1, 2), entry(3, 3), entry(3, 4), entry(5, 5), entry(5, 6)],
  });
  it("skip every entry of a later term", () => {
    assert.deepEqual(log.latestPossibleMatch(index(6), term(4)), at(3, 4));
    assert.deepEqual(log.latestPossibleMatch(index(6), term(2)), at(1, 2));
    assert.deepEqual(log.latestPossibleMatch(index(6), term(5)), at(5, 6));
  });
  it("stop at an unknown term", () => {
    assert.deepEqual(log.latestPossibleMatch(index(9), term(1)), at(0, 9));
  });
});

describe("entries that are not durable yet", () => {
  it("are readable at every state of the writer", () => {
    const pieces = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(pieces, fc.array(fc.nat(20)), (counts, flushes) => {
        const { log, storage } = logOf({});
        const model: Entry[] = [];
        for (const [round, count] of counts.entries()) {
          const keep = Math.max(0, model.length - (round % 3));
          model.length = keep;
          const added = Array.from({ length: count }, (_, offset) =>
            entry(round + 1, keep + 2 + offset, `${round}`),
          );
          model.push(...added);
          log.append(added);
          if (flushes[round] !== undefined && flushes[round] % 2 === 0) {
            storage.write({ entries: log.unstable.nextEntries(), snapshot: null, hardState: null });
            log.unstable.acceptInProgress();
            log.unstable.stableTo(log.last());
          }
          const result = log.entriesFrom(index(2), NO_LIMIT);
          assert.ok(result.kind === "entries");
          assert.deepEqual(result.entries, model);
        }
      }),
    );
  });

  it("are not treated as durable after they were overwritten (the ABA race)", () => {
    const { log } = logOf({ unstable: [entry(1, 2, "a")] });
    log.unstable.acceptInProgress();
    log.append([entry(2, 2, "b")]);
    log.unstable.acceptInProgress();
    log.unstable.stableTo(at(1, 2));
    assert.equal(log.unstable.firstIndex, 2);
    log.unstable.stableTo(at(2, 2));
    assert.equal(log.unstable.firstIndex, 3);
  });

  it("are passed to the writer once, and again after they were replaced", () => {
    const { log } = logOf({ unstable: [entry(1, 2), entry(1, 3)] });
    assert.equal(log.unstable.nextEntries().length, 2);
    log.unstable.acceptInProgress();
    assert.equal(log.unstable.nextEntries().length, 0);
    log.append([entry(2, 3)]);
    assert.deepEqual(log.unstable.nextEntries(), [entry(2, 3)]);
  });
});

describe("applying", () => {
  const stable = [entry(1, 2, "aaaa"), entry(1, 3, "bbbb"), entry(1, 4, "cccc")];

  it("waits until an entry is durable on this member", () => {
    const { log } = logOf({ stable, unstable: [entry(1, 5)] });
    log.commitTo(index(5));
    assert.deepEqual(log.nextCommitted(), stable);
  });

  it("is paged: the entries that are being applied are bounded", () => {
    const pageBytes = 2 * entrySizeBytes(entry(1, 2, "aaaa"));
    const { log } = logOf({ stable, applyingBytesMax: pageBytes });
    log.commitTo(index(4));
    const page = log.nextCommitted();
    assert.deepEqual(page, stable.slice(0, 2));
    log.acceptApplying(page);
    assert.ok(!log.hasNextCommitted());
    log.appliedTo(index(3), pageBytes);
    assert.deepEqual(log.nextCommitted(), stable.slice(2));
  });

  it("returns an entry that is larger than a page alone", () => {
    const { log } = logOf({ stable, applyingBytesMax: 1 });
    log.commitTo(index(4));
    assert.deepEqual(log.nextCommitted(), stable.slice(0, 1));
  });

  it("waits until a snapshot is durable", () => {
    const { log } = logOf({ stable });
    log.commitTo(index(4));
    log.restore(snapshotAt(2, 9, [1]));
    assert.deepEqual(log.nextCommitted(), []);
    assert.equal(log.lastIndex(), 9);
    assert.equal(log.term(index(9)), 2);
    assert.equal(log.term(index(4)), null);
  });
});
