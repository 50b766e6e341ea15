import { TestGroup, type TestMember, texts } from "./test-group.ts";

/** A log that is compacted soon, and snapshots in many parts. */
export const SMALL = {
  limits: {
    logTailEntries: 20,
    logTailBytes: 10_000,
    logSegmentBytes: 4_000,
    flushBytes: 500,
    snapshotPartBytes: 400,
  },
  timing: { flushIntervalMs: 100 },
};

export function warnings(member: TestMember, message: string): number {
  return member.log.lines.filter((line) => line.message === message).length;
}

/** Compacts the log at all that run: what a member that is down now lacks is gone. */
export async function proposeMuch(group: TestGroup, prefix: string): Promise<void> {
  for (let round = 0; round < 8; round += 1) {
    await group.proposeAll(texts(`${prefix}${round}-`, 25));
    await group.clock.advance(110); // The state is flushed.
  }
}

export async function withoutMember3(seed = 1): Promise<TestGroup> {
  const group = await TestGroup.start({ ...SMALL, seed });
  await group.proposeAll(texts("first", 5));
  group.kill(group.member(3));
  await proposeMuch(group, "a");
  return group;
}
