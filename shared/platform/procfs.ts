import { constants, readFileSync, readlinkSync } from "node:fs";

/*
 * Readers of /proc, see proc(5). The reads are synchronous, because they do not access a disk and
 * do not block. On other systems than Linux every function returns null, false or 0.
 */

/**
 * USER_HZ, the clock ticks per second of proc(5): 100 on every Linux architecture that Node
 * supports.
 */
const TICKS_PER_SECOND = 100;

/** Fields of /proc/PID/stat. */
export interface ProcessStat {
  /** "R" running, "S" sleeping, "T" stopped, "Z" ended but not yet reaped by its parent, … */
  readonly state: string;
  /** User and system time of all threads. */
  readonly cpuSeconds: number;
  /**
   * Start time in clock ticks since boot. Distinguishes a process from a later one with its pid.
   */
  readonly startTicks: string;
}

/** Returns null if the process does not exist. */
export function readProcessStat(pid: number): ProcessStat | null {
  const stat = readText(`/proc/${pid}/stat`);
  if (stat === null) return null;
  // Field 2 is the program's name in parentheses, which may contain spaces and parentheses.
  // `fields[0]` is field 3.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [userTicks, systemTicks] = [Number(fields[14 - 3]), Number(fields[15 - 3])];
  return {
    state: fields[0] ?? "",
    cpuSeconds: (userTicks + systemTicks) / TICKS_PER_SECOND,
    startTicks: fields[22 - 3] ?? "",
  };
}

/**
 * Returns a field of /proc/PID/status, such as "VmRSS" in bytes or "TracerPid"; null if unknown.
 */
export function readProcessStatus(pid: number, field: string): number | null {
  const status = readText(`/proc/${pid}/status`) ?? "";
  const match = new RegExp(`^${field}:\\s+(\\d+)( kB)?$`, "m").exec(status);
  if (match === null) return null;
  return Number(match[1]) * (match[2] === undefined ? 1 : 1024);
}

/** Returns the first port that the kernel gives to outgoing connections, see ip(7); 0 if unknown. */
export function readFirstEphemeralPort(): number {
  return Number.parseInt(readText("/proc/sys/net/ipv4/ip_local_port_range") ?? "0", 10);
}

/** Returns an id that changes at every boot. */
export function readBootId(): string | null {
  return readText("/proc/sys/kernel/random/boot_id")?.trim() ?? null;
}

/**
 * Returns the id of the namespace in which process ids have their meaning: containers have their own.
 * See pid_namespaces(7).
 */
export function readPidNamespace(): string | null {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return null;
  }
}

/** Returns the command line of this process as bytes, every argument followed by a 0. */
export function readCommandLine(): Buffer | null {
  try {
    return readFileSync("/proc/self/cmdline");
  } catch {
    return null;
  }
}

/**
 * Returns whether this process was started with descriptor 0. Node opens /dev/null for reading and
 * writing in place of a closed one; shells and programs open it for reading only. True where /proc
 * does not tell.
 */
export function hasStandardInput(): boolean {
  try {
    if (readlinkSync("/proc/self/fd/0") !== "/dev/null") return true;
  } catch {
    return true;
  }
  const flags = /^flags:\s+([0-7]+)$/m.exec(readText("/proc/self/fdinfo/0") ?? "")?.[1] ?? "0";
  const accessMode = Number.parseInt(flags, 8) & (constants.O_WRONLY | constants.O_RDWR);
  return accessMode !== constants.O_RDWR;
}

/** Returns a path with which open(2) opens the file of a descriptor of this process again. */
export function descriptorPath(descriptor: number): string {
  return `/proc/self/fd/${descriptor}`;
}

/**
 * Returns whether a process with this pid exists. A process that ended but is not reaped exists.
 */
export function hasProcess(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: the process exists and belongs to another user.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
