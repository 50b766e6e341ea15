import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Register } from "../../../scripts/soak/register.ts";

/** Returns a register that was given the stamps 1, 2, … at times 10, 20, …, each within 5. */
function writtenTimes(count: number): Register {
  const register = new Register("/p");
  for (let stamp = 1; stamp <= count; stamp += 1) {
    register.acknowledge(register.begin(stamp, 10 * stamp), 10 * stamp + 5);
  }
  return register;
}

describe("the values that readers of a path with one writer may see", () => {
  it("include only the last acknowledged value if no change is pending", () => {
    const register = writtenTimes(2);
    assert.equal(register.observe(2, 26, 27), null);
    assert.match(register.observe(1, 28, 29) ?? "", /showed 1, a stale value: expected one of 2/);
  });

  it("include the old and the new value while a change is pending", () => {
    const register = writtenTimes(1);
    register.begin(2, 20);
    assert.equal(register.observe(1, 21, 22), null);
    assert.equal(register.observe(2, 21, 23), null);
  });

  it("are never older than a value that an earlier read has shown", () => {
    const register = writtenTimes(1);
    register.begin(2, 20);
    assert.equal(register.observe(2, 21, 22), null);
    assert.equal(register.observe(1, 21, 24), null, "it began before the other read ended");
    assert.match(register.observe(1, 25, 26) ?? "", /a stale value/);
  });

  it("include the old value for a read that began before the acknowledgement", () => {
    const register = writtenTimes(2);
    assert.equal(register.observe(1, 24, 30), null);
  });

  it("exclude a change that was requested after the read", () => {
    const register = writtenTimes(2);
    assert.match(register.observe(2, 12, 19) ?? "", /expected one of/);
  });

  it("exclude a value that was never written", () => {
    assert.match(writtenTimes(1).observe(7, 30, 31) ?? "", /a value that was never written/);
  });

  it("exclude a change that did not happen", () => {
    const register = writtenTimes(1);
    const lost = register.begin(2, 20);
    assert.equal(register.refute(lost), null);
    assert.match(register.observe(2, 30, 31) ?? "", /a change that did not happen/);
    assert.equal(register.value, 1);
  });

  it("report a violation if a value was shown whose change did not happen", () => {
    const register = writtenTimes(1);
    const lost = register.begin(2, 20);
    assert.equal(register.observe(2, 21, 22), null);
    assert.match(register.refute(lost) ?? "", /2 was read, but the change did not happen/);
  });

  it("are checked over thousands of changes", () => {
    const register = writtenTimes(5_000);
    assert.equal(register.observe(5_000, 60_000, 60_001), null);
    assert.notEqual(register.observe(4_999, 60_002, 60_003), null);
    assert.notEqual(register.observe(1, 60_004, 60_005), null);
  });
});
