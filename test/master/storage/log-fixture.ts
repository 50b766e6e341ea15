import type { Entry, HardState } from "../../../master/raft/messages.ts";
import { RaftLog } from "../../../master/storage/raft-log.ts";
import type { ClusterId, LogIndex, MemberId, Term } from "../../../shared/base/ids.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import type { Random } from "../../../shared/ports/random.ts";
import { MemoryDisk, type MemoryDiskOptions } from "../../support/memory-disk.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";

export const CLUSTER = "c".repeat(32) as ClusterId;
export const { hasher } = createHasher();

export const at = (index: number, term: number) => ({
  index: index as LogIndex,
  term: term as Term,
});

export function entry(index: number, term: number, dataBytes = 20): Entry {
  const data = new Uint8Array(dataBytes).fill((index * 7 + term) & 0xff);
  return { kind: "normal", ...at(index, term), data };
}

/** Returns entries of one term with consecutive indexes. */
export function entries(first: number, last: number, term: number, dataBytes = 20): Entry[] {
  const indexes = Array.from({ length: last - first + 1 }, (_, offset) => first + offset);
  return indexes.map((index) => entry(index, term, dataBytes));
}

export function hardState(term: number, votedFor: number, commitIndex: number): HardState {
  return {
    term: term as Term,
    votedFor: votedFor as MemberId,
    commitIndex: commitIndex as LogIndex,
  };
}

/** The disk and the other dependencies of a log. They outlive a restart of the log. */
export interface LogFixture {
  readonly medium: MemoryDisk;
  readonly log: MemoryLog;
  readonly random: Random;
  segmentBytes: number;
  cacheBytes: number;
  keptBytes: number;
}

export function makeFixture(medium = new MemoryDisk(), seed = 1): LogFixture {
  const random = new SeededRandom(seed);
  const sizes = { segmentBytes: 1 << 26, cacheBytes: 1 << 24, keptBytes: 1 << 26 };
  return { medium, log: new MemoryLog(), random, ...sizes };
}

/** Opens the log, and closes it if entries after `durableIndex` are missing. */
export async function openLog(fixture: LogFixture, durableIndex = 0): Promise<RaftLog> {
  const { medium, ...rest } = fixture;
  const log = await RaftLog.open({
    ...rest,
    disk: medium.mount(),
    hasher,
    wasSegmentDurable: false,
    clusterId: CLUSTER,
    memberId: 1 as MemberId,
  });
  try {
    await log.settleDamage(durableIndex as LogIndex);
  } catch (error) {
    await log.close();
    throw error;
  }
  return log;
}

/** Returns the content of the log, for comparisons. */
export function contentOf(log: RaftLog): {
  readonly base: { readonly index: number; readonly term: number };
  readonly entries: readonly string[];
  readonly hardState: HardState;
} {
  const { base, firstIndex, lastIndex } = log.entries;
  const end = (lastIndex + 1) as LogIndex;
  const all = log.entries.slice(firstIndex, end, Number.POSITIVE_INFINITY) ?? [];
  const texts = all.map(
    (each) => `${each.index}:${each.term}:${each.kind}:${each.data.length}:${each.data[0] ?? ""}`,
  );
  return { base, entries: texts, hardState: log.hardState };
}

/** Returns the paths of the segments, oldest first. */
export async function segmentPaths(fixture: LogFixture): Promise<string[]> {
  const found = await fixture.medium.mount().list("log");
  return found.map((each) => `log/${each.name}`);
}

export async function bytesOf(fixture: LogFixture, path: string): Promise<Uint8Array> {
  return (await fixture.medium.mount().readFile(path)).slice();
}

/** Creates a fixture whose disk contains only these files. */
export async function fixtureOf(
  files: ReadonlyMap<string, Uint8Array>,
  options: MemoryDiskOptions = {},
): Promise<LogFixture> {
  const fixture = makeFixture(new MemoryDisk(options));
  const disk = fixture.medium.mount();
  await disk.makeDirectory("log");
  for (const [path, bytes] of files) await disk.writeFileDurably(path, bytes);
  return fixture;
}
