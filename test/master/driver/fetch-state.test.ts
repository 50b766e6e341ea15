import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { proposeMany, SMALL_LIMITS } from "./compacted-group.ts";
import { TestGroup } from "./test-group.ts";

describe("the fetch of a lost state", () => {
  it("delays the start of the member until a peer can send one", async () => {
    const group = await TestGroup.start(SMALL_LIMITS);
    await proposeMany(group, "a");
    const member = group.member(2);
    await group.stop(member);
    for (const name of await member.stores.list()) await member.stores.remove(name);
    for (const other of [1, 3]) await group.stop(group.member(other));
    const opening = group.open(member);
    let isOpen = false;
    opening.then(
      () => {
        isOpen = true;
      },
      () => {},
    );
    await group.clock.advance(20_000);
    assert.equal(isOpen, false);
    const warnings = () =>
      member.log.lines.filter(({ message }) => message === "Cannot fetch the state from a peer");
    assert.equal(warnings().length, 2, "one for each peer");
    await group.clock.advance(120_000);
    assert.equal(warnings().length, 6, "each of them once a minute");
    assert.ok(Number(warnings().at(-1)?.fields["unloggedCount"]) > 5);
    await group.startMember(group.member(1));
    await group.clock.advanceFor(opening, "the state is fetched");
    await group.assertAgreement();
    await group.stopAll();
  });
});
