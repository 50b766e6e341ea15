import { link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { AshlarError } from "../base/errors.ts";
import { diskError, errnoOf } from "./disk-error.ts";
import { hasProcess, readBootId, readProcessStat } from "./procfs.ts";

const LOCK_NAME = "ashlar.lock";
/** Others may take a stale lock before us, again and again; each time one of us gets further. */
const ATTEMPTS_MAX = 10;

/** Who holds a data directory. */
interface Holder {
  readonly pid: number;
  /** When the process began, in ticks since boot (proc(5), stat field 22), or null off Linux. */
  readonly startTicks: string | null;
  /** Changes at every boot; null off Linux. */
  readonly bootId: string | null;
}

/** The right to be the one process that uses a data directory. Disposing it gives it back. */
export interface DataDirectoryLock extends AsyncDisposable {
  release(): Promise<void>;
}

/**
 * Takes the lock of a data directory, which is made if it is not there.
 *
 * The lock is a file that names its holder by number, start time and boot, so that one left behind
 * by `kill -9` or a power cut counts for nothing, even if its number belongs to another process by
 * now. It appears whole under its name by link(2), which fails if the name is there. Two containers
 * that share the directory but not their process numbers do not see each other.
 *
 * @throws {AshlarError} ALREADY_EXISTS with the number of the process that holds it.
 */
export async function lockDataDirectory(path: string): Promise<DataDirectoryLock> {
  const lockPath = `${path}/${LOCK_NAME}`;
  const ownPath = `${lockPath}.${process.pid}`;
  const own = JSON.stringify(describeSelf());
  try {
    await mkdir(path, { recursive: true });
    await writeFile(ownPath, own);
    await takeName(path, ownPath, lockPath);
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

async function takeName(path: string, ownPath: string, lockPath: string): Promise<void> {
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
  throw new AshlarError("DISK_FAILED", `Cannot lock ${path}: others take it again and again`);
}

/** Removes the lock with the content `text`, and no other that may have taken its place. */
async function removeStale(lockPath: string, text: string): Promise<void> {
  const asidePath = `${lockPath}.${process.pid}.stale`;
  try {
    await rename(lockPath, asidePath);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return; // Another one was faster.
    throw error;
  }
  if ((await readText(asidePath)) !== text) {
    // That was the lock of one who took over a moment ago: give the name back.
    await link(asidePath, lockPath).catch(() => {});
  }
  await rm(asidePath, { force: true });
}

function inUse(path: string, pid: number): AshlarError {
  return new AshlarError("ALREADY_EXISTS", `Cannot use ${path}: process ${pid} is using it`, {
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

/** Null for what is not a lock file of ours: one that a power cut has emptied. */
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
  // A process that ended holds nothing, even if its parent has not reaped it yet.
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
