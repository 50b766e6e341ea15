import { AshlarError } from "../../shared/base/errors.ts";
import { type EntryName, type PathNames, parseEntryName } from "../../shared/base/path.ts";
import { urlOf } from "./request-path.ts";

/** Most entries of one page of a listing. */
const PAGE_ENTRIES_MAX = 1_000;
const FILTER_LENGTH_MAX = 1_000;

/** Key that a listing is sorted by. */
export type SortKey = "name" | "size" | "time";
/** Direction of a listing. Entries with equal keys are always in ascending order of their names. */
export type SortOrder = "asc" | "desc";

/** Position after the last entry of a page. */
export interface ListingCursor {
  /** Log index that all pages of the listing show. */
  readonly index: number;
  /** Size or time of the last entry. 0 in a listing by name. */
  readonly value: number;
  /** Name of the last entry. */
  readonly name: EntryName;
}

/** The parameters of a listing in the query of a URL. */
export interface ListingQuery {
  readonly sort: SortKey;
  readonly order: SortOrder;
  /** Text that the names contain, as shown and without regard to case. Empty: all names. */
  readonly filter: string;
  /** Most entries of the page. */
  readonly limit: number;
  /** Null for the first page. */
  readonly cursor: ListingCursor | null;
}

const SORT_KEYS: readonly SortKey[] = ["name", "size", "time"];
const ORDERS: readonly SortOrder[] = ["asc", "desc"];

/** Returns the order of a listing that names none: the largest and the newest entries first. */
export function defaultOrder(sort: SortKey): SortOrder {
  return sort === "name" ? "asc" : "desc";
}

/** Parses the parameters of a listing. @throws {AshlarError} INVALID_ARGUMENT */
export function parseListingQuery(query: URLSearchParams): ListingQuery {
  const sort = oneOf("sort", query.get("sort") ?? "name", SORT_KEYS);
  const order = oneOf("order", query.get("order") ?? defaultOrder(sort), ORDERS);
  const filter = query.get("filter") ?? "";
  if (filter.length > FILTER_LENGTH_MAX) {
    throw refused("filter", `at most ${FILTER_LENGTH_MAX} characters`, filter);
  }
  const limitText = query.get("limit") ?? String(PAGE_ENTRIES_MAX);
  const limit = /^\d{1,4}$/.test(limitText) ? Number(limitText) : 0;
  if (limit < 1 || limit > PAGE_ENTRIES_MAX) {
    throw refused("limit", `a number from 1 to ${PAGE_ENTRIES_MAX}`, limitText);
  }
  const cursorText = query.get("cursor");
  const cursor = cursorText === null ? null : parseCursor(cursorText, { sort, order });
  return { sort, order, filter, limit, cursor };
}

/** Returns the URL of a page of the listing of a directory. */
export function listingUrl(names: PathNames, query: ListingQuery): string {
  const { sort, order, filter, limit, cursor } = query;
  const parameters = [
    ...(sort === "name" ? [] : [`sort=${sort}`]),
    ...(order === defaultOrder(sort) ? [] : [`order=${order}`]),
    ...(filter === "" ? [] : [`filter=${encodeURIComponent(filter)}`]),
    ...(limit === PAGE_ENTRIES_MAX ? [] : [`limit=${limit}`]),
    ...(cursor === null ? [] : [`cursor=${formatCursor(cursor, query)}`]),
  ];
  return urlOf(names, true) + (parameters.length === 0 ? "" : `?${parameters.join("&")}`);
}

/** Prefix of a cursor: a cursor of another sort is refused. */
function cursorPrefix({ sort, order }: Pick<ListingQuery, "sort" | "order">): string {
  return `${sort}-${order}`;
}

function formatCursor(cursor: ListingCursor, query: Pick<ListingQuery, "sort" | "order">): string {
  const name = Buffer.from(cursor.name).toString("base64url");
  return [cursorPrefix(query), cursor.index, cursor.value, name].join("~");
}

function parseCursor(text: string, query: Pick<ListingQuery, "sort" | "order">): ListingCursor {
  const match = /^([a-z-]+)~(\d{1,15})~(-?\d[\d.e+-]{0,30})~([\w-]+)$/.exec(text);
  const [, prefix, index, value, name = ""] = match ?? [];
  const cursor = { index: Number(index), value: Number(value) };
  if (prefix !== cursorPrefix(query) || !Number.isFinite(cursor.value)) {
    throw refused("cursor", "the cursor of a page of this listing", text);
  }
  return { ...cursor, name: parseEntryName(Buffer.from(name, "base64url")) };
}

function oneOf<Value extends string>(name: string, text: string, values: readonly Value[]): Value {
  const value = values.find((each) => each === text);
  if (value === undefined) throw refused(name, values.join(" or "), text);
  return value;
}

function refused(name: string, expected: string, value: string): AshlarError {
  return new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot list with ?${name}: expected ${expected}: current value is "${value.slice(0, 100)}"`,
  );
}
