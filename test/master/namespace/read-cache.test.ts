import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Key } from "../../../master/namespace/keys.ts";
import { ReadCache } from "../../../master/namespace/read-cache.ts";

const key = (name: string): Key => name as Key;

describe("ReadCache", () => {
  it("never returns a replaced or deleted value of either generation", () => {
    const cache = new ReadCache({ generationBytesMax: 100 });
    cache.set(key("a"), 1, 60);
    cache.set(key("b"), 1, 60); // Moves "a" to the old generation.
    cache.set(key("a"), 2, 10);
    assert.equal(cache.get(key("a")), 2);
    cache.delete(key("a"));
    assert.equal(cache.get(key("a")), undefined);
  });

  it("drops unused values and keeps used values", () => {
    const cache = new ReadCache({ generationBytesMax: 100 });
    cache.set(key("used"), 1, 10);
    cache.set(key("unused"), 1, 10);
    for (let other = 0; other < 20; other += 1) {
      cache.set(key(`other-${other}`), other, 45);
      assert.equal(cache.get(key("used")), 1);
    }
    assert.equal(cache.get(key("unused")), undefined);
    assert.equal(cache.get(key("other-0")), undefined);
  });
});
