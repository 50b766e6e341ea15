import { readFile } from "node:fs/promises";

/** The calls by which bytes reach a disk. */
export const WRITE_CALLS = [
  "write",
  "writev",
  "pwrite64",
  "pwritev",
  "pwritev2",
  "fallocate",
  "ftruncate",
] as const;
export const SYNC_CALLS = ["fsync", "fdatasync", "sync_file_range"] as const;

/** When a process comes by a site: at its very first start, at every start, or under load. */
export type SitePhase = "first start" | "start" | "load";

/** A kind of file and a call on it: one place in the product that must bear its failure. */
export interface IoSite {
  /** Whose: of masters under load those of the one that leads and of one that follows. */
  readonly role: "master" | "leader" | "follower" | "chunkserver";
  readonly phase: SitePhase;
  readonly call: string;
  /** The path in the data directory, numbers as N: "log/N-N.log". "." is the directory itself. */
  readonly file: string;
  /** Paths in the data directory that were seen. */
  readonly paths: readonly string[];
}

/** Named after the process, so that nobody can watch for it before there is one; it keeps nothing. */
const LOCK_FILE = "ashlar.lock";

const LINE = /^\d+\s+([a-z0-9_]+)\(\d+<([^>]+)>/;

/** The sites in a protocol of `strace -f -y`. Paths outside of `dataDirectory` are left out. */
export async function sitesIn(
  protocol: string,
  from: Pick<IoSite, "role" | "phase"> & { readonly dataDirectory: string },
): Promise<IoSite[]> {
  const { role, phase, dataDirectory } = from;
  const found = new Map<string, { call: string; file: string; paths: Set<string> }>();
  for (const line of (await readFile(protocol, "utf8")).split("\n")) {
    const [, call, path] = LINE.exec(line) ?? [];
    if (call === undefined || path === undefined) continue;
    if (path !== dataDirectory && !path.startsWith(`${dataDirectory}/`)) continue;
    const name = path.slice(dataDirectory.length + 1) || ".";
    if (name.startsWith(LOCK_FILE)) continue;
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

export function nameOfSite({ role, phase, call, file }: IoSite): string {
  return `${role} at ${phase}: ${call} of ${file}`;
}

/** The same for a place in any phase, at any member. */
export function nameOfPlace({ role, call, file }: IoSite): string {
  return `${role === "chunkserver" ? role : "master"}: ${call} of ${file}`;
}

/** Two files that differ in nothing but their numbers are written by the same code. */
export function kindOfFile(name: string): string {
  return name.replaceAll(/[0-9a-f]{12,}/g, "N").replaceAll(/\d+/g, "N");
}

/** How many names of files that are still to come are watched. */
const AHEAD = 60;

/**
 * Paths that strace must watch to meet a site: those that were seen, and for files that are made
 * all the time the next ones in their numbering.
 */
export function pathsToWatch(site: IoSite, dataDirectory: string): string[] {
  const paths = new Set(site.paths);
  const [newest] = site.paths
    .map(numbered)
    .filter((each) => each !== null)
    .sort((left, right) => right.number - left.number);
  if (newest !== undefined) {
    const { head, number, radix, width, tail } = newest;
    // Temporary files are counted from 1 by each process anew.
    const first = tail.endsWith(".tmp") ? 1 : number;
    for (let next = first; next < first + AHEAD; next += 1) {
      paths.add(`${head}${next.toString(radix).padStart(width, "0")}${tail}`);
    }
  }
  return [...paths].map((path) => (path === "." ? dataDirectory : `${dataDirectory}/${path}`));
}

/** A name by the last number in it, which says in what order such files are made. */
interface NumberedName {
  readonly head: string;
  readonly number: number;
  readonly radix: 10 | 16;
  /** Digits, at least. */
  readonly width: number;
  readonly tail: string;
}

/** Extents have 12 hexadecimal digits. Null: no number, or one that does not just count (an index). */
function numbered(name: string): NumberedName | null {
  const [, head, digits, tail] = /^(.*?)([0-9a-f]{12}|\d+)(\D*)$/.exec(name) ?? [];
  if (head === undefined || digits === undefined || tail === undefined) return null;
  if (digits.length >= 16) return null;
  const radix = digits.length === 12 ? 16 : 10;
  const width = digits.startsWith("0") ? digits.length : 1;
  return { head, number: Number.parseInt(digits, radix), radix, width, tail };
}
