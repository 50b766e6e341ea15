import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { countLogLines, proposeMany, startWithoutMember3 } from "./compacted-group.ts";
import { type TestGroup, type TestMember, texts } from "./test-group.ts";

/** Commands whose state is larger than the window of a stream. */
const LARGE = texts("large", 45).map((text) => `${text} ${"x".repeat(200_000)}`);

interface InterruptedTransfer {
  readonly group: TestGroup;
  /** The receiver, which has a part of the snapshot and is cut off from the other members. */
  readonly member: TestMember;
  /** Number of rows that the receiver has. */
  readonly receivedCount: number;
}

/** Cuts the network during a snapshot transfer and waits until both sides have abandoned it. */
async function interruptTransfer(): Promise<InterruptedTransfer> {
  const group = await startWithoutMember3();
  await group.proposeAll(LARGE);
  await group.clock.advance(110);
  const member = group.member(3);
  let receivedCount = 0;
  member.faults.commit = async (name, changes) => {
    await group.clock.sleep(5);
    if (name === "state-2") receivedCount += changes.length;
  };
  await group.startMember(member);
  await group.clock.advanceUntil(() => receivedCount > 130, "the receiver has some rows");
  for (const other of [1, 2]) group.network.cut(member.host, group.member(other).host);
  // The receiver stores the bytes in flight, and both sides abandon the transfer.
  await group.clock.advance(20_000);
  return { group, member, receivedCount };
}

function skippedCounts(member: TestMember): unknown[] {
  const started = member.log.lines.filter((line) => line.message === "Receiving a snapshot");
  return started.map((line) => line.fields["skippedCount"]);
}

async function heal({ group, member }: InterruptedTransfer): Promise<void> {
  group.network.heal();
  const isInstalled = (): boolean => countLogLines(member, "Installed a snapshot") > 0;
  await group.clock.advanceUntil(isInstalled, "the snapshot is installed");
  await group.assertAgreement();
  await group.stopAll();
}

describe("an interrupted snapshot transfer", () => {
  it("is resumed even if the state of the leader has changed since the interruption", async () => {
    const interrupted = await interruptTransfer();
    const { group, member, receivedCount } = interrupted;
    await proposeMany(group, "b");
    await heal(interrupted);
    assert.deepEqual(skippedCounts(member), [0, receivedCount]);
    assert.deepEqual(await member.stores.list(), ["state-2"]);
  });

  it("starts again when the received rows have expired", async () => {
    const interrupted = await interruptTransfer();
    const { group, member } = interrupted;
    await group.clock.advance(120_000);
    assert.deepEqual(await member.stores.list(), ["state-1"]);
    await heal(interrupted);
    assert.deepEqual(skippedCounts(member), [0, 0]);
    assert.deepEqual(await member.stores.list(), ["state-3"]);
  });

  it("starts again when the receiver was restarted", async () => {
    const interrupted = await interruptTransfer();
    const { group, member } = interrupted;
    await group.stop(member);
    await group.startMember(member);
    await heal(interrupted);
    assert.deepEqual(skippedCounts(member), [0, 0]);
    assert.equal((await member.stores.list()).length, 1);
  });
});
