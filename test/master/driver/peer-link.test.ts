import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AshlarError } from "../../../shared/base/errors.ts";
import { TestGroup } from "./test-group.ts";

describe("the link to a peer", () => {
  it("logs that the peer is down once a minute, and once that it is reachable again", async () => {
    const group = await TestGroup.start();
    const [member, down] = [group.member(1), group.member(3)];
    const linesOf = (message: string) =>
      member.log.lines.filter((line) => line.message === message && line.fields["peer"] === 3);
    await group.clock.advance(120_000);
    const before = linesOf("Cannot reach a peer").length;
    const reachableBefore = linesOf("A peer is reachable again").length;
    await group.stop(down);
    await group.clock.advance(150_000);
    const lines = linesOf("Cannot reach a peer").slice(before);
    const codes = lines.map(({ fields }) => (fields["error"] as AshlarError).code);
    for (const code of new Set(codes)) {
      assert.ok(codes.filter((each) => each === code).length <= 3, codes.join(" "));
    }
    assert.ok(lines.length >= 3, codes.join(" "));
    assert.ok(Number(lines.at(-1)?.fields["unloggedCount"]) > 10);
    await group.startMember(down);
    await group.clock.advance(10_000);
    assert.equal(linesOf("A peer is reachable again").length - reachableBefore, 1);
    await group.stopAll();
  });
});
