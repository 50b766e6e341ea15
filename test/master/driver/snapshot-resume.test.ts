import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { proposeMuch, warnings, withoutMember3 } from "./compacted-group.ts";
import { type TestGroup, type TestMember, texts } from "./test-group.ts";

/** More than what a stream may have under way. */
const LARGE = texts("large", 45).map((text) => `${text} ${"x".repeat(200_000)}`);

interface Cut {
  readonly group: TestGroup;
  /** Without most of the state, and behind cut cables. */
  readonly member: TestMember;
  /** Entries that had come. */
  readonly cameCount: number;
}

async function cutInTransfer(): Promise<Cut> {
  const group = await withoutMember3();
  await group.proposeAll(LARGE);
  await group.clock.advance(110);
  const member = group.member(3);
  let cameCount = 0;
  member.faults.commit = async (name, changes) => {
    await group.clock.sleep(5);
    if (name === "state-2") cameCount += changes.length;
  };
  await group.startMember(member);
  await group.clock.advanceUntil(() => cameCount > 130, "some of it has come");
  for (const other of [1, 2]) group.network.cut(member.host, group.member(other).host);
  await group.clock.advance(20_000); // What is on the wire goes into the store; both ends give up.
  return { group, member, cameCount };
}

function skippedCounts(member: TestMember): unknown[] {
  const begun = member.log.lines.filter((line) => line.message === "Receiving a snapshot");
  return begun.map((line) => line.fields["skippedCount"]);
}

async function heal({ group, member }: Cut): Promise<void> {
  group.network.heal();
  const isInPlace = (): boolean => warnings(member, "Installed a snapshot") > 0;
  await group.clock.advanceUntil(isInPlace, "the snapshot is in place");
  await group.agree();
  await group.stopAll();
}

describe("a snapshot whose transfer broke off", () => {
  it("goes on where it was, also when the leader's state is another one by then", async () => {
    const cut = await cutInTransfer();
    const { group, member, cameCount } = cut;
    await proposeMuch(group, "b");
    await heal(cut);
    assert.deepEqual(skippedCounts(member), [0, cameCount]);
    assert.deepEqual(await member.stores.list(), ["state-2"]);
  });

  it("begins anew when what had come is not kept any more", async () => {
    const cut = await cutInTransfer();
    const { group, member } = cut;
    await group.clock.advance(120_000);
    assert.deepEqual(await member.stores.list(), ["state-1"]);
    await heal(cut);
    assert.deepEqual(skippedCounts(member), [0, 0]);
    assert.deepEqual(await member.stores.list(), ["state-3"]);
  });

  it("begins anew when the receiver was restarted", async () => {
    const cut = await cutInTransfer();
    const { group, member } = cut;
    await group.stop(member);
    await group.startMember(member);
    await heal(cut);
    assert.deepEqual(skippedCounts(member), [0, 0]);
    assert.equal((await member.stores.list()).length, 1);
  });
});
