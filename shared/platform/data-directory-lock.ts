import { link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { AshlarError } from "../base/errors.ts";
import { diskError, errnoOf } from "./disk-error.ts";
import { hasProcess, readBootId, readProcessStat } from "./procfs.ts";

const LOCK_NAME = "ashlar.lock";
/** An attempt fails if it found a stale lock, or a lock that was released in the meantime. */
const ATTEMPTS_MAX = 10;

/** The process that holds a data directory. Content of the lock file. */
interface Holder {
  readonly pid: number;
  /** Start time of the process in clock ticks since boot. Null on other systems than Linux. */
  readonly startTicks: string | null;
  /** Id of the boot. Null on other systems than Linux. */
  readonly bootId: string | null;
}

/** The exclusive use of a data directory. Disposing it releases the lock. */
export interface DataDirectoryLock extends AsyncDisposable {
  release(): Promise<void>;
}

/**
 * Acquires the lock of a data directory. Creates the directory if it does not exist.
 *
 * The lock is a file that names its holder by pid, start time and boot. A file that remains after
 * `kill
 * -9` or a power failure is therefore recognised as stale, even if another process has the pid now.
 * The complete file appears under its name by link(2), which fails if the name exists. Limit: two
 * containers that share the directory but not the pid namespace do not see each other's lock.
 *
 * @throws {AshlarError} ALREADY_EXISTS with the pid of the holder
 */
export async function lockDataDirectory(path: string): Promise<DataDirectoryLock> {
  const lockPath = `${path}/${LOCK_NAME}`;
  const ownPath = `${lockPath}.${process.pid}`;
  const own = JSON.stringify(describeSelf());
  try {
    await mkdir(path, { recursive: true });
    await writeFile(ownPath, own);
    await acquireLock(path, ownPath, lockPath);
  } catch (error) {
    throw error instanceof AshlarError ? error : diskError("lock", path, error);
  } finally {
    await rm(ownPath, { force: true });
  }
  const release = async (): Promise<void> => {
    if ((await readText(lockPath)) === own) await rm(lockPath, { force: true });
  };
  return { release, [Symbol.asyncDispose]: release };
}

async function acquireLock(path: string, ownPath: string, lockPath: string): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    try {
      await link(ownPath, lockPath);
      return;
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
    }
    const text = await readText(lockPath);
    const holder = text === null ? null : parseHolder(text);
    if (holder !== null && isRunning(holder)) throw inUse(path, holder.pid);
    if (text !== null) await removeStale(lockPath, text);
  }
  throw new AshlarError(
    "DISK_FAILED",
    `Cannot lock ${path}: other processes took the lock ${ATTEMPTS_MAX} times in a row`,
  );
}

/** Removes the lock file only if its content is still `text`: a newer lock file is kept. */
async function removeStale(lockPath: string, text: string): Promise<void> {
  const stalePath = `${lockPath}.${process.pid}.stale`;
  try {
    await rename(lockPath, stalePath);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return; // Another process has removed the file.
    throw error;
  }
  if ((await readText(stalePath)) !== text) {
    // Another process has just acquired the lock: restore its file.
    await link(stalePath, lockPath).catch(() => {});
  }
  await rm(stalePath, { force: true });
}

function inUse(path: string, pid: number): AshlarError {
  return new AshlarError("ALREADY_EXISTS", `Cannot use ${path}: it is locked by process ${pid}`, {
    hint: "Stop that process, or choose another data directory",
    details: { path, pid },
  });
}

function describeSelf(): Holder {
  return {
    pid: process.pid,
    startTicks: readProcessStat(process.pid)?.startTicks ?? null,
    bootId: readBootId(),
  };
}

/** Returns null if `text` is not a lock: a power failure may leave the file empty. */
function parseHolder(text: string): Holder | null {
  try {
    const holder = JSON.parse(text) as Holder;
    return Number.isSafeInteger(holder.pid) ? holder : null;
  } catch {
    return null;
  }
}

function isRunning(holder: Holder): boolean {
  if (holder.bootId !== readBootId() || !hasProcess(holder.pid)) return false;
  const stat = readProcessStat(holder.pid);
  // A process that ended does not hold the lock, even if its parent has not reaped it yet.
  const startTicks = stat === null || stat.state === "Z" ? null : stat.startTicks;
  return holder.startTicks === startTicks;
}

async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch {
    return null;
  }
}
