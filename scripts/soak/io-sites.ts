import { readFile } from "node:fs/promises";

/** System calls that write to a disk. */
export const WRITE_CALLS = [
  "write",
  "writev",
  "pwrite64",
  "pwritev",
  "pwritev2",
  "fallocate",
  "ftruncate",
] as const;
/** System calls that sync a file. */
export const SYNC_CALLS = ["fsync", "fdatasync", "sync_file_range"] as const;

/** When a process reaches a call site: at its first start, at each start, or under load. */
export type SitePhase = "first start" | "start" | "load";

/** A call site: a kind of file and a system call on it. The product must handle its failure. */
export interface IoSite {
  /** Role of the process. Under load, masters are divided into leader and follower. */
  readonly role: "master" | "leader" | "follower" | "chunkserver";
  readonly phase: SitePhase;
  readonly call: string;
  /** Path in the data directory with numbers as N: "log/N-N.log". "." is the directory itself. */
  readonly file: string;
  /** Observed paths in the data directory. */
  readonly paths: readonly string[];
}

/** Not watched: a text for people; the process runs without it. */
const LOCK_FILE = "ashlar.lock";

const LINE = /^\d+\s+([a-z0-9_]+)\(\d+<([^>]+)>/;

/**
 * Returns the call sites in a trace of `strace -f -y`. Paths outside of `dataDirectory` are
 * ignored.
 */
export async function sitesIn(
  tracePath: string,
  from: Pick<IoSite, "role" | "phase"> & { readonly dataDirectory: string },
): Promise<IoSite[]> {
  const { role, phase, dataDirectory } = from;
  const found = new Map<string, { call: string; file: string; paths: Set<string> }>();
  for (const line of (await readFile(tracePath, "utf8")).split("\n")) {
    const [, call, path] = LINE.exec(line) ?? [];
    if (call === undefined || path === undefined) continue;
    if (path !== dataDirectory && !path.startsWith(`${dataDirectory}/`)) continue;
    const name = path.slice(dataDirectory.length + 1) || ".";
    if (name === LOCK_FILE) continue;
    const file = kindOfFile(name);
    const site = found.get(`${call} ${file}`) ?? { call, file, paths: new Set() };
    site.paths.add(name);
    found.set(`${call} ${file}`, site);
  }
  return [...found.values()].map(({ call, file, paths }) => ({
    ...{ role, phase, call, file },
    paths: [...paths],
  }));
}

/** Returns the name of a site: "leader at load: pwrite64 of log/N-N.log". */
export function nameOfSite({ role, phase, call, file }: IoSite): string {
  return `${role} at ${phase}: ${call} of ${file}`;
}

/** Returns the name of a site without phase and member: "master: pwrite64 of log/N-N.log". */
export function nameOfCallSite({ role, call, file }: IoSite): string {
  return `${role === "chunkserver" ? role : "master"}: ${call} of ${file}`;
}

/**
 * Returns the name with numbers as N. Files that differ only in numbers are written by the same
 * code.
 */
export function kindOfFile(name: string): string {
  return name.replaceAll(/[0-9a-f]{12,}/g, "N").replaceAll(/\d+/g, "N");
}

/** Number of future file names that are watched. */
const FUTURE_NAMES = 60;

/**
 * Returns the paths that strace must watch to reach a site: the observed paths, and the next names
 * of files that are numbered.
 */
export function pathsToWatch(site: IoSite, dataDirectory: string): string[] {
  const paths = new Set(site.paths);
  const [newest] = site.paths
    .map(numbered)
    .filter((each) => each !== null)
    .sort((left, right) => right.number - left.number);
  if (newest !== undefined) {
    const { head, number, radix, width, tail } = newest;
    // Each process numbers its temporary files from 1.
    const first = tail.endsWith(".tmp") ? 1 : number;
    for (let next = first; next < first + FUTURE_NAMES; next += 1) {
      paths.add(`${head}${next.toString(radix).padStart(width, "0")}${tail}`);
    }
  }
  return [...paths].map((path) => (path === "." ? dataDirectory : `${dataDirectory}/${path}`));
}

/** A name, split at the last number in it. Files of this kind are created in numeric order. */
interface NumberedName {
  readonly head: string;
  readonly number: number;
  readonly radix: 10 | 16;
  /** Minimum number of digits. */
  readonly width: number;
  readonly tail: string;
}

/**
 * Splits a name at its last number. Extent files have 12 hexadecimal digits. Null if there is no
 * number, or if it is not a counter (a log index).
 */
function numbered(name: string): NumberedName | null {
  const [, head, digits, tail] = /^(.*?)([0-9a-f]{12}|\d+)(\D*)$/.exec(name) ?? [];
  if (head === undefined || digits === undefined || tail === undefined) return null;
  if (digits.length >= 16) return null;
  const radix = digits.length === 12 ? 16 : 10;
  const width = digits.startsWith("0") ? digits.length : 1;
  return { head, number: Number.parseInt(digits, radix), radix, width, tail };
}
