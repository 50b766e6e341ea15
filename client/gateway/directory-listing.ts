import { compareBytes } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { type EntryName, parseEntryName } from "../../shared/base/path.ts";
import type { DirectoryEntry, ListPage } from "../results.ts";
import type { GatewayRequest } from "./gateway-request.ts";
import type { ListingCursor, ListingQuery, SortKey } from "./listing-query.ts";

/** Most entries that a request for a listing reads. */
const SCANNED_ENTRIES_MAX = 100_000;
/** Entries of one call to the masters, when more than one page is read. */
const SCAN_PAGE_ENTRIES = 2_000;

/** One page of a listing. */
export interface ListingPage {
  /** Log index that the page shows. */
  readonly index: number;
  readonly entries: readonly DirectoryEntry[];
  /** Position of the next page; null on the last page. */
  readonly next: ListingCursor | null;
}

/** Returns whether a listing must read the whole directory: it is not in the order of the masters. */
export function needsWholeDirectory({ sort, order }: ListingQuery): boolean {
  return sort !== "name" || order !== "asc";
}

/**
 * Resolves with one page of a directory. All pages of a listing show one log index.
 *
 * A page in ascending order of names is read from its cursor on. With a filter it ends after 100,000
 * entries and may then be short or empty. A page in another order needs the whole directory, of at
 * most `sortEntriesMax` entries; only the entries of the page are kept in memory.
 *
 * @throws {AshlarError} INVALID_ARGUMENT for a directory that is too large to be sorted;
 *   INDEX_EXPIRED if the listing began too long ago
 */
export function readListing(request: GatewayRequest, query: ListingQuery): Promise<ListingPage> {
  if (needsWholeDirectory(query)) {
    return request.runScan(() => sortedPage(request, query));
  }
  if (query.filter !== "") return request.runScan(() => filteredPage(request, query));
  return namePage(request, query);
}

/** Returns the error of a directory with too many entries to be sorted. */
export function tooLargeToSort({ config }: GatewayRequest, { sort }: ListingQuery): AshlarError {
  return new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot sort by ${sort}: expected a directory of at most ${config.sortEntriesMax} entries`,
    { hint: "In ascending order of names a directory of any size is listed" },
  );
}

async function namePage(request: GatewayRequest, query: ListingQuery): Promise<ListingPage> {
  const page = await listPage(request, query.cursor, query.limit);
  const last = page.entries.at(-1);
  const isLast = page.next === null || last === undefined;
  const { index, entries } = page;
  return { index, entries, next: isLast ? null : cursorAfter(last, index, "name") };
}

async function filteredPage(request: GatewayRequest, query: ListingQuery): Promise<ListingPage> {
  const isMatch = matcherOf(query);
  const entries: DirectoryEntry[] = [];
  let cursor = query.cursor;
  let scannedCount = 0;
  for (;;) {
    const page = await listPage(request, cursor, SCAN_PAGE_ENTRIES);
    const { index } = page;
    for (const entry of page.entries) {
      if (!isMatch(entry)) continue;
      // One more match proves that there is a next page.
      if (entries.length === query.limit) {
        return { index, entries, next: cursorAfter(entries.at(-1) ?? entry, index, "name") };
      }
      entries.push(entry);
    }
    const last = page.entries.at(-1);
    if (page.next === null || last === undefined) return { index, entries, next: null };
    cursor = cursorAfter(last, index, "name");
    scannedCount += page.entries.length;
    if (scannedCount >= SCANNED_ENTRIES_MAX) return { index, entries, next: cursor };
  }
}

async function sortedPage(request: GatewayRequest, query: ListingQuery): Promise<ListingPage> {
  const { limit, sort, cursor } = query;
  const isMatch = matcherOf(query);
  const compare = comparatorOf(query);
  let first: DirectoryEntry[] = [];
  const keepFirst = (): void => {
    first = first.sort(compare).slice(0, limit + 1);
  };
  const isOnPage = (entry: DirectoryEntry): boolean =>
    isMatch(entry) && (cursor === null || compareToCursor(query, entry, cursor) > 0);
  let index = 0;
  let scannedCount = 0;
  for await (const page of wholeDirectory(request, cursor?.index)) {
    index = page.index;
    scannedCount += page.entries.length;
    if (scannedCount > request.config.sortEntriesMax) throw tooLargeToSort(request, query);
    first.push(...page.entries.filter(isOnPage));
    if (first.length > 4 * limit) keepFirst();
  }
  keepFirst();
  const entries = first.slice(0, limit);
  const last = entries.at(-1);
  const hasMore = first.length > limit && last !== undefined;
  return { index, entries, next: hasMore ? cursorAfter(last, index, sort) : null };
}

function listPage(
  { files, path, scope }: GatewayRequest,
  cursor: ListingCursor | null,
  limit: number,
): Promise<ListPage> {
  return files.listPage(path.bytes, {
    limit,
    signal: scope.signal,
    ...(cursor === null ? {} : { cursor: { index: cursor.index, after: cursor.name } }),
  });
}

/** Yields all entries in ascending order of names, at a log index or in the current state. */
async function* wholeDirectory(
  request: GatewayRequest,
  index: number | undefined,
): AsyncGenerator<ListPage> {
  const { files, path, scope } = request;
  let page = await files.listPage(path.bytes, {
    limit: SCAN_PAGE_ENTRIES,
    signal: scope.signal,
    ...(index === undefined ? {} : { at: index }),
  });
  yield page;
  for (let last = page.entries.at(-1); page.next !== null && last !== undefined; ) {
    page = await listPage(request, cursorAfter(last, page.index, "name"), SCAN_PAGE_ENTRIES);
    yield page;
    last = page.entries.at(-1);
  }
}

function matcherOf({ filter }: ListingQuery): (entry: DirectoryEntry) => boolean {
  const wanted = filter.toLowerCase();
  return ({ displayName }) => displayName.toLowerCase().includes(wanted);
}

/** Returns the number that an entry is sorted by. Directories have no size and precede files. */
function sortValueOf({ attributes }: DirectoryEntry, sort: SortKey): number {
  if (sort === "name") return 0;
  if (sort === "time") return attributes.mtimeMs;
  return attributes.kind === "file" ? attributes.sizeBytes : -1;
}

function comparatorOf(query: ListingQuery): (a: DirectoryEntry, b: DirectoryEntry) => number {
  return (a, b) => {
    const cursor = { index: 0, value: sortValueOf(b, query.sort), name: b.name as EntryName };
    return compareToCursor(query, a, cursor);
  };
}

/** Returns a negative number if `entry` precedes the cursor, 0 if it is its entry. */
function compareToCursor(
  { sort, order }: ListingQuery,
  entry: DirectoryEntry,
  cursor: ListingCursor,
): number {
  const sign = order === "asc" ? 1 : -1;
  const byName = compareBytes(entry.name, cursor.name);
  if (sort === "name") return sign * byName;
  return sign * (sortValueOf(entry, sort) - cursor.value) || byName;
}

function cursorAfter(entry: DirectoryEntry, index: number, sort: SortKey): ListingCursor {
  return { index, value: sortValueOf(entry, sort), name: parseEntryName(entry.name) };
}
