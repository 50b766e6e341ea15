import type { Disk } from "../../shared/ports/disk.ts";

/** Files that a member writes only after it has created its log. */
const WITNESSES: readonly string[] = ["founders.json", "newest-segment.json", "peers.json"];

/**
 * Returns whether the directory has had a log. Any one witness is enough: each file may be lost. Only a
 * directory that version 0.1.0 restored from a backup, and that has not been started, has a state and no log.
 */
export async function hasHadLog(disk: Disk): Promise<boolean> {
  const entries = await disk.list(".");
  if (entries.some(({ name }) => WITNESSES.includes(name))) return true;
  const hasDirectory = entries.some(({ name }) => name === "log");
  return hasDirectory && (await disk.list("log")).length > 0;
}
