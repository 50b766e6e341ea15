import { createHash, randomBytes } from "node:crypto";
import { opendir, rm } from "node:fs/promises";
import { hostname } from "node:os";
import {
  hasProcess,
  readBootId,
  readPidNamespace,
  readProcessStat,
} from "../../../shared/platform/procfs.ts";
import type { LocalPath } from "../local-path.ts";

const PREFIX = ".ashlar-get-";
/** Names that a search for leftovers reads at most in one directory. */
const NAMES_MAX = 100_000;
/** Entries that one system call returns. */
const NAMES_PER_READ = 512;

/**
 * The name of a file that is not published yet:
 *
 *     .ashlar-get-MACHINE-BOOT-PID-START-RANDOM
 *
 * MACHINE is a hash of the host name and of the pid namespace: containers can have one host name, and
 * one pid for different processes. BOOT is a hash of the boot id (8 hex digits each). START is the time
 * at which the process started, in clock ticks since boot, or 0 where it is not known. RANDOM is 12
 * hex digits.
 */
const NAME = /^\.ashlar-get-([0-9a-f]{8})-([0-9a-f]{8})-(\d{1,10})-(\d{1,20})-[0-9a-f]{12}$/;

/** Identity of the process in the name of its temporary files. */
interface Owner {
  readonly machine: string;
  readonly boot: string;
  readonly pid: number;
  readonly startTicks: string;
}

/** Returns a new name for a file that is not published yet. */
export function temporaryName(): Buffer {
  const { machine, boot, pid, startTicks } = ownIdentity();
  const random = randomBytes(6).toString("hex");
  return Buffer.from(`${PREFIX}${machine}-${boot}-${pid}-${startTicks}-${random}`);
}

/** Returns whether a file with this name is a temporary file of a get. */
export function isTemporaryName(name: Uint8Array): boolean {
  return NAME.test(Buffer.from(name).toString("latin1"));
}

/**
 * Removes the temporary files in a directory whose process on this machine has ended: a get that was
 * killed leaves them. Errors are ignored, as the files harm nothing.
 */
export async function removeLeftovers(directory: LocalPath): Promise<void> {
  try {
    let count = 0;
    for await (const { name } of await opendir(directory.systemPath, {
      bufferSize: NAMES_PER_READ,
    })) {
      count += 1;
      if (count > NAMES_MAX) return;
      if (!isLeftover(name)) continue;
      await rm(directory.join(Buffer.from(name)).systemPath, { force: true });
    }
  } catch {
    // The write that follows reports what is wrong with the directory.
  }
}

/** Removes a temporary file whose process on this machine has ended. Errors are ignored. */
export async function removeLeftover(path: LocalPath): Promise<void> {
  const name = path.bytes.subarray(path.bytes.lastIndexOf(0x2f) + 1).toString("latin1");
  if (isLeftover(name)) await rm(path.systemPath, { force: true }).catch(() => {});
}

function isLeftover(name: string): boolean {
  const match = name.startsWith(PREFIX) ? NAME.exec(name) : null;
  if (match === null) return false;
  const [, machine = "", boot = "", pid = "", startTicks = ""] = match;
  const self = ownIdentity();
  if (machine !== self.machine) return false; // A shared directory: the process can be alive there.
  return boot !== self.boot || !isAlive({ machine, boot, pid: Number(pid), startTicks });
}

function isAlive({ pid, startTicks }: Owner): boolean {
  if (!hasProcess(pid)) return false;
  const stat = readProcessStat(pid);
  return stat === null || startTicks === "0" || stat.startTicks === startTicks;
}

let own: Owner | null = null;

/** Reads the identity of this process once. */
function ownIdentity(): Owner {
  const { pid } = process;
  own ??= {
    machine: shortHash(`${hostname()} ${readPidNamespace()}`),
    boot: shortHash(readBootId() ?? ""),
    pid,
    startTicks: readProcessStat(pid)?.startTicks ?? "0",
  };
  return own;
}

function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}
