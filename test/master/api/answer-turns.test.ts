import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AnswerTurns } from "../../../master/api/answer-turns.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

describe("large answers", () => {
  it("are computed in order, one per turn, when several are due", async () => {
    const clock = new VirtualClock();
    const turns = new AnswerTurns(clock);
    const log: string[] = [];
    const answer = async (name: string): Promise<void> => {
      await turns.next();
      log.push(name);
    };
    const all = Promise.all([answer("a"), answer("b"), answer("c")]);
    for (let count = 0; count < 8; count += 1) await Promise.resolve();
    assert.deepEqual(log, ["a"], "the first answer does not wait");
    while (log.length < 3) {
      const before = log.length;
      assert.ok(await clock.step(), "a next turn is scheduled");
      assert.ok(log.length <= before + 1, "at most one answer per turn");
    }
    await all;
    assert.deepEqual(log, ["a", "b", "c"]);
    await clock.advance(1);
    const alone = answer("d");
    for (let count = 0; count < 8; count += 1) await Promise.resolve();
    assert.equal(log.at(-1), "d", "an answer alone in its turn does not wait");
    await alone;
  });
});
