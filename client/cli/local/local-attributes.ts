import fs from "node:fs";
import { promisify } from "node:util";

/** Changes the owner of an open file. */
type ChangeOwner = (descriptor: number, uid: number, gid: number) => Promise<void>;

const changeOwner: ChangeOwner = promisify(fs.fchown);

const SET_IDS = 0o6000;
const SET_GID = 0o2000;
/** Half of a microsecond, in seconds. Node rounds a time towards zero to a microsecond. */
const HALF_MICROSECOND = 5e-7;
const NS_PER_MS = 1_000_000n;

/** Attributes of a local file or directory to set. */
export interface LocalAttributes {
  /** Permission bits, with setuid, setgid and sticky. */
  readonly mode: number;
  /** Null: the owner stays. */
  readonly owner: { readonly uid: number; readonly gid: number } | null;
  /** Null: the time stays. */
  readonly mtimeMs: number | null;
}

/**
 * Sets owner, mode and time, in this order: chown(2) clears setuid and setgid. They are set only
 * if the owner or the group is that of the source, as cp(1) does: a setuid file of another owner must
 * not become one of the caller.
 *
 * Most calls read or change an inode that is open. They do not wait for the disk, so they need no
 * thread.
 *
 * @returns whether the owner was set, or was right before
 */
export async function applyAttributes(
  descriptor: number,
  { mode, owner, mtimeMs }: LocalAttributes,
  chown: ChangeOwner = changeOwner,
): Promise<boolean> {
  const kept = owner === null ? "none" : await applyOwner(descriptor, owner, chown);
  const allowed =
    kept === "both" ? mode : mode & ~(kept === "group" ? SET_IDS & ~SET_GID : SET_IDS);
  fs.fchmodSync(descriptor, allowed);
  if (mtimeMs !== null) applyTime(descriptor, mtimeMs);
  return owner === null || kept === "both";
}

/** Only a privileged process may give a file away, see chown(2). */
async function applyOwner(
  descriptor: number,
  owner: NonNullable<LocalAttributes["owner"]>,
  chown: ChangeOwner,
): Promise<"both" | "group" | "none"> {
  const { uid, gid } = fs.fstatSync(descriptor);
  if (uid === owner.uid && gid === owner.gid) return "both";
  if (await isDone(chown(descriptor, owner.uid, owner.gid))) return "both";
  return (await isDone(chown(descriptor, uid, owner.gid))) ? "group" : "none";
}

async function isDone(change: Promise<void>): Promise<boolean> {
  try {
    await change;
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // EINVAL: the id has no meaning in this user namespace.
    if (code === "EPERM" || code === "EINVAL") return false;
    throw error;
  }
}

/** Sets a time so that it is read as the same number of whole milliseconds. */
function applyTime(descriptor: number, mtimeMs: number): void {
  const seconds = mtimeMs / 1000;
  const away = Math.sign(seconds) * HALF_MICROSECOND;
  // Node 20 and 22 cut the time to microseconds; Node 24 keeps nanoseconds, with the error of a
  // double.
  for (const time of [seconds + away, seconds, seconds + HALF_MICROSECOND]) {
    // As text: Node replaces a negative number by the current time.
    fs.futimesSync(descriptor, String(time), String(time));
    if (mtimeMsOf(fs.fstatSync(descriptor, { bigint: true })) === Math.floor(mtimeMs)) return;
  }
}

/** Returns the time of modification in whole milliseconds, rounded down, also before 1970. */
export function mtimeMsOf({ mtimeNs }: { readonly mtimeNs: bigint }): number {
  const remainder = ((mtimeNs % NS_PER_MS) + NS_PER_MS) % NS_PER_MS;
  return Number((mtimeNs - remainder) / NS_PER_MS);
}
