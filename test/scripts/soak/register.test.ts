import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Register } from "../../../scripts/soak/register.ts";

/** A register whose path was given the stamps 1, 2, … at the times 10, 20, …, each within 5. */
function writtenTimes(count: number): Register {
  const register = new Register("/p");
  for (let stamp = 1; stamp <= count; stamp += 1) {
    register.acknowledge(register.begin(stamp, 10 * stamp), 10 * stamp + 5);
  }
  return register;
}

describe("what the readers of a path with one writer may see", () => {
  it("is what was acknowledged before they asked", () => {
    const register = writtenTimes(2);
    assert.equal(register.observe(2, 26, 27), null);
    assert.match(register.observe(1, 28, 29) ?? "", /showed 1, a stale value: expected one of 2/);
  });

  it("is the old or the new one while a change is open", () => {
    const register = writtenTimes(1);
    register.begin(2, 20);
    assert.equal(register.observe(1, 21, 22), null);
    assert.equal(register.observe(2, 21, 23), null);
  });

  it("is never older again than what somebody has seen, acknowledged or not", () => {
    const register = writtenTimes(1);
    register.begin(2, 20);
    assert.equal(register.observe(2, 21, 22), null);
    assert.equal(register.observe(1, 21, 24), null, "it began before the other ended");
    assert.match(register.observe(1, 25, 26) ?? "", /a stale value/);
  });

  it("may be older for a read that began before the acknowledgement", () => {
    const register = writtenTimes(2);
    assert.equal(register.observe(1, 24, 30), null);
  });

  it("is nothing that was asked for after the read", () => {
    const register = writtenTimes(2);
    assert.match(register.observe(2, 12, 19) ?? "", /expected one of/);
  });

  it("is nothing that nobody ever wrote", () => {
    assert.match(writtenTimes(1).observe(7, 30, 31) ?? "", /a value that was never written/);
  });

  it("is no change that turned out not to have happened", () => {
    const register = writtenTimes(1);
    const lost = register.begin(2, 20);
    assert.equal(register.refute(lost), null);
    assert.match(register.observe(2, 30, 31) ?? "", /a change that did not happen/);
    assert.equal(register.value, 1);
  });

  it("cannot have been a change that did not happen", () => {
    const register = writtenTimes(1);
    const lost = register.begin(2, 20);
    assert.equal(register.observe(2, 21, 22), null);
    assert.match(register.refute(lost) ?? "", /2 was read, but the change did not happen/);
  });

  it("is judged over thousands of changes", () => {
    const register = writtenTimes(5_000);
    assert.equal(register.observe(5_000, 60_000, 60_001), null);
    assert.notEqual(register.observe(4_999, 60_002, 60_003), null);
    assert.notEqual(register.observe(1, 60_004, 60_005), null);
  });
});
