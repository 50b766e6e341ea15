import assert from "node:assert/strict";
import { it } from "node:test";
import { growthPercent } from "../../../shared/platform/heap-growth.ts";

const MIB = 1024 * 1024;

it("allows a small heap the growth of V8, and a large one 50 %", () => {
  assert.equal(growthPercent(20 * MIB), 300);
  assert.equal(growthPercent(128 * MIB), 100);
  assert.equal(growthPercent(200 * MIB), 60);
  assert.equal(growthPercent(600 * MIB), 50);
});
