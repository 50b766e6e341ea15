import { TestGroup, type TestMember, texts } from "./test-group.ts";

/** Small limits: the log is compacted early, and a snapshot has many parts. */
export const SMALL_LIMITS = {
  limits: {
    logCacheBytes: 2_000,
    logReadBytes: 2_000,
    logKeptBytes: 0,
    logSegmentBytes: 2_000,
    flushBytes: 500,
    snapshotPartBytes: 400,
  },
  timing: { flushIntervalMs: 100 },
};

/** Returns the number of lines with `message` in the log of `member`. */
export function countLogLines(member: TestMember, message: string): number {
  return member.log.lines.filter((line) => line.message === message).length;
}

/**
 * Proposes enough commands that all running members compact their logs. A member that is down needs
 * a snapshot afterwards.
 */
export async function proposeMany(group: TestGroup, prefix: string): Promise<void> {
  for (let round = 0; round < 8; round += 1) {
    await group.proposeAll(texts(`${prefix}${round}-`, 25));
    await group.clock.advance(110); // One flush interval is 100 ms.
  }
}

/** Starts a group, stops member 3 and compacts the logs of the others. */
export async function startWithoutMember3(seed = 1, size = 3): Promise<TestGroup> {
  const group = await TestGroup.start({ ...SMALL_LIMITS, seed, size });
  await group.proposeAll(texts("first", 5));
  group.kill(group.member(3));
  await proposeMany(group, "a");
  return group;
}
