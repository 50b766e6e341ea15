import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isLinearizable } from "./check.ts";
import { directoryHistory, MANY_UNANSWERED } from "./directory-history.ts";
import { directoryModel } from "./directory-model.ts";
import { isDirectoryExplained } from "./every-order.ts";

/** Returns the result of the search, which must be that of trying every order. */
function isExplained(text: string): boolean {
  const history = directoryHistory(text);
  const isFound = isLinearizable(directoryModel, history);
  assert.equal(isDirectoryExplained(history), isFound, text);
  return isFound;
}

describe("versions of unanswered changes", () => {
  it("are not lower than the versions of changes that returned before their call", () => {
    const history = (version: number): string => `
      1-2 put b w1 → at 9
      3-? put a w2 → ?
      4-5 read a → w2 at ${version}`;
    assert.ok(isExplained(history(10)));
    assert.ok(!isExplained(history(8)));
  });

  it("show the order of unanswered changes of different names", () => {
    const history = (a: number, b: number): string => `
      1-? put a w1 → ?
      2-3 read a → w1 at ${a}
      4-? put b w2 → ?
      5-6 read b → w2 at ${b}`;
    assert.ok(isExplained(history(7, 8)));
    assert.ok(!isExplained(history(8, 7)));
  });

  it("belong to one change each", () => {
    const history = (changes: string, b: number): string => `
      ${changes}
      3-4 read a → w1 at 7
      5-6 read b → w2 at ${b}`;
    const two = "1-? put a w1 → ?\n2-? put b w2 → ?";
    assert.ok(isExplained(history(two, 8)));
    assert.ok(!isExplained(history(two, 7)));
    const transaction = "1-? put a w1; put b w2 → ?";
    assert.ok(isExplained(history(transaction, 7)));
    assert.ok(!isExplained(history(transaction, 8)));
  });

  it("are in order if a read returns a lower version after a higher one", () => {
    const changes = "1-? put a w1 → ?\n2-? put b w2 → ?";
    assert.ok(isExplained(`${changes}\n3-4 read a → w1 at 8\n5-6 read b → w2 at 7`));
    const between = "5-6 read b → nothing\n7-8 read b → w2 at 7";
    assert.ok(!isExplained(`${changes}\n3-4 read a → w1 at 8\n${between}`));
  });

  it("are kept until the last read of them", () => {
    const history = (last: string): string => `
      1-? put a w1 → ?
      2-? remove a → ?
      3-? create a → ?
      4-5 read a → w1 at 7
      6-7 ${last}
      8-9 read a → w1 at 7`;
    assert.ok(isExplained(history("create a → ALREADY_EXISTS")));
    assert.ok(!isExplained(history("create a → at 8")));
    assert.ok(!isExplained(history("read a → nothing")));
  });
});

describe("a history with 40 consecutive unanswered changes", () => {
  it("is decided if it is linearizable", () => {
    assert.ok(isLinearizable(directoryModel, directoryHistory(MANY_UNANSWERED)));
  });

  it("is decided if it is not linearizable", () => {
    const last = "read e → nothing";
    assert.ok(MANY_UNANSWERED.trim().endsWith(last));
    const wrong = MANY_UNANSWERED.replace(last, "read e → k1.2.long.1 at 231");
    assert.ok(!isLinearizable(directoryModel, directoryHistory(wrong)));
  });
});
