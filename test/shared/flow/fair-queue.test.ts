import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FairQueue } from "../../../shared/flow/fair-queue.ts";

describe("FairQueue", () => {
  it("serves the sources in turn, also when items are added and removed", () => {
    const queue = new FairQueue<string>();
    for (const item of ["a1", "a2", "a3", "b1", "b2"]) queue.push(item.slice(0, 1), item);
    assert.equal(queue.peek(), "a1");
    assert.equal(queue.shift(), "a1");
    queue.push("c", "c1");
    assert.equal(queue.delete("b", "b1"), true);
    assert.equal(queue.delete("b", "b1"), false);
    assert.deepEqual([...queue], ["b2", "a2", "a3", "c1"]);
    assert.deepEqual(
      Array.from({ length: 5 }, () => queue.shift()),
      ["b2", "a2", "c1", "a3", undefined],
    );
    assert.equal(queue.size, 0);
  });
});
