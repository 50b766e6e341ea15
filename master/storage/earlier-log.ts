import { isAshlarError } from "../../shared/base/errors.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import { isWrongKind } from "./log-failure.ts";

/** Files that a member writes only after its first log segment is durable. Any one of them may be lost. */
const WRITTEN_AFTER_FIRST_SEGMENT: readonly string[] = [
  "founders.json",
  "newest-segment.json",
  "peers.json",
];

/** Evidence of an earlier log in a data directory. */
export interface EarlierLog {
  /** Whether the first segment was durable once: a log without segments has lost it. */
  readonly wasSegmentDurable: boolean;
  /**
   * Whether `log` has files, or the first segment was durable once. False for a directory that was restored from
   * a backup and never started.
   */
  readonly wasLogBegun: boolean;
}

/** Searches for evidence of an earlier log. */
export async function findEarlierLog(disk: Disk): Promise<EarlierLog> {
  const entries = await disk.list(".");
  const wasSegmentDurable = entries.some(({ name }) => WRITTEN_AFTER_FIRST_SEGMENT.includes(name));
  const wasLogBegun = wasSegmentDurable || (await hasLogFiles(disk));
  return { wasSegmentDurable, wasLogBegun };
}

/** Returns whether the directory `log` has files, or `log` is no directory (a dangling link, too). */
export async function hasLogFiles(disk: Disk): Promise<boolean> {
  const isListed = (await disk.list(".")).some(({ name }) => name === "log");
  if (!isListed) return false;
  try {
    return (await disk.list("log")).length > 0;
  } catch (error) {
    if (isAshlarError(error, "NOT_FOUND") || isWrongKind(error)) return true;
    throw error;
  }
}
