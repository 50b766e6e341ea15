import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { TermRuns } from "../../../master/storage/term-runs.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import { at } from "./log-fixture.ts";

/** One change: `share` chooses the index among those that are possible. */
const changeArbitrary = fc.oneof(
  fc.record({
    kind: fc.constant("extend" as const),
    count: fc.nat(5),
    newerBy: fc.nat(2),
  }),
  fc.record({
    kind: fc.constantFrom("truncate" as const, "compact" as const),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
  fc.record({ kind: fc.constant("reset" as const) }),
);

type Change = typeof changeArbitrary extends fc.Arbitrary<infer T> ? T : never;

/** The same terms as an array. */
class TermList {
  base = { index: 3, term: 2 };
  terms: number[] = [];

  get last(): { readonly index: number; readonly term: number } {
    return {
      index: this.base.index + this.terms.length,
      term: this.terms.at(-1) ?? this.base.term,
    };
  }

  /** Performs `change` on both. */
  perform(runs: TermRuns, change: Change): void {
    const { index, term } = this.last;
    if (change.kind === "extend") {
      const added = Array.from({ length: change.count }, () => term + change.newerBy);
      this.terms.push(...added);
      runs.extend(at(index + change.count, term + change.newerBy));
    } else if (change.kind === "reset") {
      this.base = { index: index + 4, term: term + 1 };
      this.terms = [];
      runs.reset(at(this.base.index, this.base.term));
    } else {
      const count = Math.round(change.share * this.terms.length);
      this.#drop(runs, change.kind, count);
    }
  }

  #drop(runs: TermRuns, kind: "truncate" | "compact", count: number): void {
    const index = this.base.index + count;
    if (kind === "truncate") {
      runs.truncate(index as LogIndex);
      this.terms = this.terms.slice(0, count);
      return;
    }
    runs.compact(index as LogIndex);
    this.base = { index, term: this.terms[count - 1] ?? this.base.term };
    this.terms = this.terms.slice(count);
  }
}

describe("the terms of the log", () => {
  it("are those of an array with a term for each entry", () => {
    fc.assert(
      fc.property(fc.array(changeArbitrary, { maxLength: 40 }), (changes) => {
        const runs = new TermRuns(at(3, 2));
        const list = new TermList();
        for (const change of changes) {
          list.perform(runs, change);
          assert.deepEqual({ ...runs.base }, list.base);
          assert.deepEqual({ index: runs.lastIndex, term: runs.lastTerm }, list.last);
          const expected = [list.base.term, ...list.terms];
          const found = expected.map((_, offset) =>
            runs.termAt((list.base.index + offset) as LogIndex),
          );
          assert.deepEqual(found, expected);
          for (const [offset, term] of list.terms.entries()) {
            const start = runs.startAt((list.base.index + 1 + offset) as LogIndex);
            assert.equal(start, list.base.index + 1 + list.terms.indexOf(term));
          }
        }
      }),
    );
  });
});
