import { randomUUID } from "node:crypto";
import { lstatSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";

/** A directory in memory. Every user may create files in it, so their names are random. */
const MEMORY_DIRECTORY = "/dev/shm";
/** More than the size of lmdb's lock file with the default of 126 readers (8,272 bytes). */
export const LOCK_BYTES = 3 * 4096;

/**
 * Calls `open`, which opens the environment in the directory `path`, with a lock file in memory.
 *
 * lmdb maps its lock file and writes to it in the main thread with every read. On a file system that
 * hangs, the first write to a page after its write-back waits for the file system: the whole process
 * would hang. The file has no name afterwards. No other process needs it, because the data directory
 * is locked (data-directory-lock.ts). `path` keeps its own lock file, for version 0.1.0 and for systems
 * without a directory in memory.
 */
export function withLockInMemory<Opened>(path: string, open: () => Opened): Opened {
  const lockFile = `${path}/lock.mdb`;
  const kept = `${path}/lock.mdb.kept`;
  const inMemory = `${MEMORY_DIRECTORY}/ashlar-lock-${randomUUID()}`;
  try {
    writeFileSync(inMemory, new Uint8Array(LOCK_BYTES), { flag: "wx", mode: 0o600 });
    if (isFile(lockFile)) renameSync(lockFile, kept);
    rmSync(lockFile, { force: true }); // A link of a process that ended during the open.
    symlinkSync(inMemory, lockFile);
  } catch {
    restore();
    return open();
  }
  try {
    return open();
  } finally {
    restore();
  }

  function restore(): void {
    rmSync(inMemory, { force: true });
    if (!isFile(lockFile)) rmSync(lockFile, { force: true });
    if (isFile(kept)) renameSync(kept, lockFile);
  }
}

function isFile(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() === true;
}
