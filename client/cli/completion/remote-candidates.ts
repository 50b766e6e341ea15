import { joinPath, parsePath } from "../../../shared/base/path.ts";
import { NAME_BYTES_MAX } from "../../../shared/base/path-faults.ts";
import type { FileSystem } from "../../file-system.ts";
import type { ReadOptions } from "../../options.ts";
import type { DirectoryEntry, ListPage } from "../../results.ts";
import { bytesOfText, textOfBytes } from "../argument-text.ts";
import { withoutScheme } from "../remote-paths.ts";
import type { Candidate } from "./candidate.ts";

/** Candidates of one word. A shell asks before it shows more than this. */
const CANDIDATES_MAX = 100;

type Lister = Pick<FileSystem, "listPage">;

/**
 * Resolves with the paths that begin with a typed path, in byte order of their names. A directory
 * ends with a slash. The cost does not depend on the size of the directory.
 *
 * The names are not escaped for patterns: a name that exists as it was typed is taken literally.
 *
 * @throws {AshlarError} as `FileSystem.listPage` does
 */
export async function remoteCandidates(
  files: Lister,
  text: string,
  readOptions: ReadOptions,
): Promise<Candidate[]> {
  const path = withoutScheme(text);
  if (path !== "" && !path.startsWith("/")) return [];
  const start = path.lastIndexOf("/") + 1;
  const directory = joinPath(parsePath(bytesOfText(path.slice(0, start) || "/")));
  const prefix = bytesOfText(path.slice(start));
  if (prefix.length > NAME_BYTES_MAX) return [];
  const before = path === "" ? `${text}/` : text.slice(0, text.length - path.length + start);
  const entries = await entriesWithPrefix({ files, directory, readOptions }, prefix);
  return entries.map(({ name, attributes }) => {
    const isPartial = attributes.kind === "directory";
    return { text: `${before}${textOfBytes(name)}${isPartial ? "/" : ""}`, isPartial };
  });
}

interface Listing {
  readonly files: Lister;
  readonly directory: Uint8Array;
  readonly readOptions: ReadOptions;
}

/**
 * Resolves with the entries whose names begin with `prefix`. If there are too many, these are the
 * first ones, and some later ones with which the longest common prefix is that of all of them: the
 * shell inserts it.
 */
async function entriesWithPrefix(listing: Listing, prefix: Uint8Array): Promise<DirectoryEntry[]> {
  const { files, directory, readOptions } = listing;
  const limit = CANDIDATES_MAX + 1;
  const firstPage = await files.listPage(directory, { ...readOptions, limit });
  const isNeeded = prefix.length > 0 && firstPage.next !== null;
  const page = isNeeded
    ? await pageAfter(listing, firstPage, nameBefore(prefix), limit)
    : firstPage;
  const entries = page.entries.filter(({ name }) => hasPrefix(name, prefix));
  if (entries.length <= CANDIDATES_MAX) return entries;
  const later = await laterEntries(listing, firstPage, { entries, prefix });
  return [...entries.slice(0, CANDIDATES_MAX - later.length), ...later];
}

/** Resolves with an entry for each prefix of the names that is longer than their common prefix. */
async function laterEntries(
  listing: Listing,
  firstPage: ListPage,
  { entries, prefix }: { readonly entries: readonly DirectoryEntry[]; readonly prefix: Uint8Array },
): Promise<DirectoryEntry[]> {
  const [first, last] = [entries[0], entries[CANDIDATES_MAX - 1]];
  if (first === undefined || last === undefined) return [];
  const later: DirectoryEntry[] = [];
  let common = commonPrefix(first.name, last.name);
  while (common.length > prefix.length) {
    const page = await pageAfter(listing, firstPage, paddedName(common), 1);
    const [next] = page.entries;
    if (next === undefined || !hasPrefix(next.name, prefix)) break;
    later.push(next);
    common = commonPrefix(common, next.name);
  }
  return later;
}

/** Resolves with the entries of the directory after a name; with the first ones for null. */
function pageAfter(
  { files, directory, readOptions }: Listing,
  { index }: ListPage,
  after: Uint8Array | null,
  limit: number,
): Promise<ListPage> {
  if (after === null) return files.listPage(directory, { ...readOptions, limit });
  return files.listPage(directory, { ...readOptions, limit, cursor: { index, after } });
}

/**
 * Returns the greatest name that is smaller than all names with a prefix; null if there is none. No
 * name has the bytes 0 and `/`, and none is `.` or `..`.
 */
export function nameBefore(prefix: Uint8Array): Uint8Array | null {
  const last = prefix.at(-1);
  if (last === undefined) return null;
  const shorter = prefix.subarray(0, -1);
  if (last > 1) return paddedName(Buffer.from([...shorter, last === 0x30 ? 0x2e : last - 1]));
  const isName = shorter.length > 2 || !shorter.every((byte) => byte === 0x2e);
  return isName ? shorter : nameBefore(shorter);
}

/** Returns the greatest name with a prefix. */
function paddedName(prefix: Uint8Array): Uint8Array {
  const name = Buffer.alloc(NAME_BYTES_MAX, 0xff);
  name.set(prefix);
  return name;
}

function commonPrefix(left: Uint8Array, right: Uint8Array): Uint8Array {
  const end = left.findIndex((byte, position) => byte !== right[position]);
  return end < 0 ? left : left.subarray(0, end);
}

function hasPrefix(name: Uint8Array, prefix: Uint8Array): boolean {
  return commonPrefix(prefix, name).length === prefix.length;
}
