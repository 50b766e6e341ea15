import { spawn } from "node:child_process";
import { close as closeCallback, open as openCallback } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { AshlarError } from "../base/errors.ts";
import { diskError, errnoOf } from "./disk-error.ts";
import { readBootId, readProcessStat } from "./procfs.ts";

// Descriptors, not `FileHandle`: garbage collection closes a handle that is no longer referenced,
// which would release the lock.
const open = promisify(openCallback);
const close = promisify(closeCallback);

/**
 * Names the process that uses the directory: for people, and for version 0.1.0, whose lock is this file. Ours is not.
 */
const HOLDER_NAME = "ashlar.lock";

/** The fields of version 0.1.0, which refuses a directory whose holder runs, and a text for people. */
interface Holder {
  readonly pid: number;
  readonly startTicks: string | null;
  readonly bootId: string | null;
  /** Version 0.1.0 wrote none. */
  readonly text?: string;
}
/** Exit status of flock(1) if another process holds the lock. */
const STATUS_LOCKED = 1;

/** The exclusive use of a data directory. Disposing it releases the lock. */
export interface DataDirectoryLock extends AsyncDisposable {
  release(): Promise<void>;
}

/**
 * Acquires the lock of a data directory. Creates the directory if it does not exist.
 *
 * The kernel holds the lock: flock(2) on the directory itself. It ends with the process, also after
 * `kill -9` and a power failure, is seen by every process and container of the machine, and no
 * removed file can break it. Node has no call for it, so flock(1) locks a descriptor that it
 * inherits: such a lock belongs to the open file description, which this process keeps open.
 *
 * @throws {AshlarError} ALREADY_EXISTS with the holder, UNSUPPORTED if there is no flock(1)
 */
export async function lockDataDirectory(path: string): Promise<DataDirectoryLock> {
  let directory: number | null = null;
  try {
    await mkdir(path, { recursive: true });
    directory = await open(path, "r");
    await acquireLock(directory, path);
    await refuseOldHolder(path);
    // Only a text for people: a full disk must not prevent the start.
    await writeFile(`${path}/${HOLDER_NAME}`, `${JSON.stringify(self())}\n`).catch(() => {});
  } catch (error) {
    if (directory !== null) await close(directory);
    throw error instanceof AshlarError ? error : diskError("lock", path, error);
  }
  return lockOf(directory, path);
}

function lockOf(directory: number, path: string): DataDirectoryLock {
  let isHeld = true;
  const release = async (): Promise<void> => {
    if (!isHeld) return;
    isHeld = false;
    // Removed before the lock is free: afterwards the file may be that of the next holder.
    await rm(`${path}/${HOLDER_NAME}`, { force: true }).catch(() => {}); // Only a text for people.
    await close(directory);
  };
  return { release, [Symbol.asyncDispose]: release };
}

async function acquireLock(directory: number, path: string): Promise<void> {
  const { status, message } = await runFlock(directory);
  if (status === 0) return;
  if (status === STATUS_LOCKED && message === "") throw await inUse(path);
  throw new AshlarError("DISK_FAILED", `Cannot lock ${path}: flock: ${message || status}`);
}

/** Runs `flock -n -x 3`: takes the lock of the open file description, or fails at once. */
function runFlock(fd: number): Promise<{ readonly status: number; readonly message: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn("flock", ["-n", "-x", "3"], { stdio: ["ignore", "ignore", "pipe", fd] });
    child.on("error", (error) => {
      reject(errnoOf(error) === "ENOENT" ? flockMissing() : error);
    });
    const message = text(child.stderr as NodeJS.ReadableStream).catch(() => "");
    child.on("close", async (status, signal) => {
      resolve({ status: status ?? -1, message: signal ?? (await message).trim() });
    });
  });
}

function flockMissing(): AshlarError {
  return new AshlarError("UNSUPPORTED", "Cannot lock a data directory: flock(1) is not installed", {
    hint: "Install util-linux (BusyBox has flock, too)",
  });
}

function self(): Holder {
  const { pid } = process;
  const startTicks = readProcessStat(pid)?.startTicks ?? null;
  return { pid, startTicks, bootId: readBootId(), text: `process ${pid} on ${hostname()}` };
}

/** @throws {AshlarError} ALREADY_EXISTS if a process of version 0.1.0, which has no lock of the kernel, runs */
async function refuseOldHolder(path: string): Promise<void> {
  const holder = await readHolder(path);
  if (holder === null || holder.text !== undefined || holder.bootId !== readBootId()) return;
  const found = readProcessStat(holder.pid);
  const isRunning = found !== null && found.state !== "Z" && found.startTicks === holder.startTicks;
  if (isRunning) throw inUseBy(path, `process ${holder.pid} of version 0.1.0`);
}

/** Returns null if the file is missing or names no process. */
async function readHolder(path: string): Promise<Holder | null> {
  try {
    const holder = JSON.parse(await readFile(`${path}/${HOLDER_NAME}`, "utf8")) as Holder | null;
    return Number.isSafeInteger(holder?.pid) ? holder : null;
  } catch {
    return null;
  }
}

async function inUse(path: string): Promise<AshlarError> {
  return inUseBy(path, (await readHolder(path))?.text ?? "another process");
}

function inUseBy(path: string, by: string): AshlarError {
  return new AshlarError("ALREADY_EXISTS", `Cannot use ${path}: it is locked by ${by}`, {
    hint: "Stop that process, or choose another data directory",
    details: { path, holder: by },
  });
}
