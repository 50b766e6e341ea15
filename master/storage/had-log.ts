import type { Disk } from "../../shared/ports/disk.ts";

/** Files that a member writes only after its first log segment is durable. Any one of them may be lost. */
const WITNESSES: readonly string[] = ["founders.json", "newest-segment.json", "peers.json"];

/** Evidence of an earlier log in a data directory. */
export interface EarlierLog {
  /** Whether the first segment was durable once: a log without it has lost it. */
  readonly hadSegment: boolean;
  /**
   * Whether a log was begun, possibly by a first start that was interrupted. If not, a state was restored from
   * a backup and has not been started.
   */
  readonly hadLog: boolean;
}

/** Searches for evidence of an earlier log. */
export async function findEarlierLog(disk: Disk): Promise<EarlierLog> {
  const entries = await disk.list(".");
  const hadSegment = entries.some(({ name }) => WITNESSES.includes(name));
  const hasDirectory = entries.some(({ name }) => name === "log");
  const hadLog = hadSegment || (hasDirectory && (await disk.list("log")).length > 0);
  return { hadSegment, hadLog };
}
