import { AshlarError } from "../../shared/base/errors.ts";
import { parseEntryName } from "../../shared/base/path.ts";
import { formatCount, jsonAttributes, jsonName } from "../../shared/display/format.ts";
import type { Attributes } from "../index.ts";
import type { DirectoryEntry } from "../results.ts";
import { etagOf, httpDate } from "./conditions.ts";
import {
  type ListingPage,
  needsWholeDirectory,
  readListing,
  tooLargeToSort,
} from "./directory-listing.ts";
import { directoryPage } from "./directory-page.ts";
import { type GatewayRequest, queryFlag } from "./gateway-request.ts";
import { PAGE_POLICY, PAGE_TYPE } from "./html.ts";
import { type ListingQuery, listingUrl, parseListingQuery } from "./listing-query.ts";
import { urlOf } from "./request-path.ts";

const LINES_TYPE = "application/x-ndjson";

/**
 * Handles `GET /files/dir/` and HEAD. It answers with one page of the listing, as HTML, JSON or JSON
 * lines, as the request accepts.
 */
export async function getDirectory(request: GatewayRequest): Promise<void> {
  const { context, files, path, scope } = request;
  const format = formatOf(request);
  const requested = parseListingQuery(request.query);
  const attributes = await files.stat(path.bytes, { signal: scope.signal });
  checkCursor(request, requested);
  const entryCount = attributes.kind === "directory" ? attributes.entryCount : 0;
  const { query, notice } = sortableQuery(request, { requested, entryCount, format });
  setHeaders(request, format, attributes);
  if (context.method === "HEAD") return;
  const slot = await request.beginTransfer("out");
  const page = await readListing(request, query);
  // The page is complete in memory, so a client that reads slowly needs no slot.
  slot.release();
  const next = page.next === null ? null : listingUrl(path.names, { ...query, cursor: page.next });
  if (next !== null) context.set("Link", `<${next}>; rel="next"`);
  const { names } = path;
  const type = context.response.get("Content-Type");
  context.body =
    format === "html"
      ? directoryPage({ names, query, page, entryCount, notice })
      : jsonPage(request, { format, query, page, next, entryCount });
  context.set("Content-Type", type); // Setting the body can change the type.
}

/** Refuses an index that no listing can have shown: the masters would wait for it. */
function checkCursor({ files }: GatewayRequest, { cursor }: ListingQuery): void {
  if (cursor === null || cursor.index <= files.lastIndex) return;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot list with ?cursor: expected a log index up to ${files.lastIndex}: current value is ${cursor.index}`,
  );
}

type Format = "html" | "json" | "lines";

function formatOf(request: GatewayRequest): Format {
  if (queryFlag(request, "json")) return "json";
  // The first type is for clients that accept every type, such as curl.
  switch (request.context.accepts("application/json", LINES_TYPE, "text/html")) {
    case "text/html":
      return "html";
    case LINES_TYPE:
      return "lines";
    default:
      return "json";
  }
}

function setHeaders({ context }: GatewayRequest, format: Format, attributes: Attributes): void {
  const lastModified = httpDate(attributes.mtimeMs);
  if (lastModified !== null) context.set("Last-Modified", lastModified);
  context.status = 200;
  context.set("Vary", "Accept");
  context.set("Cache-Control", "no-store");
  if (format === "html") context.set("Content-Security-Policy", PAGE_POLICY);
  context.set("Content-Type", format === "html" ? PAGE_TYPE : jsonTypeOf(format));
}

function jsonTypeOf(format: Format): string {
  return format === "lines" ? LINES_TYPE : "application/json; charset=utf-8";
}

/**
 * Returns the listing to show. A directory that is too large to be sorted is shown by name, with an
 * explanation, in a page, and refused to programs, which would not notice another order.
 */
function sortableQuery(
  request: GatewayRequest,
  listing: {
    readonly requested: ListingQuery;
    readonly entryCount: number;
    readonly format: Format;
  },
): { readonly query: ListingQuery; readonly notice: string } {
  const { requested, entryCount, format } = listing;
  const { sortEntriesMax } = request.config;
  if (!needsWholeDirectory(requested) || entryCount <= sortEntriesMax) {
    return { query: requested, notice: "" };
  }
  if (format !== "html") throw tooLargeToSort(request, requested);
  const count = formatCount(entryCount, "entry", "entries");
  return {
    query: { ...requested, sort: "name", order: "asc", cursor: null },
    notice: `The directory has ${count}. It is shown in ascending order of names: only directories of at most ${sortEntriesMax} entries can be sorted.`,
  };
}

/** Returns the text of a page in JSON, or in JSON lines. */
function jsonPage(
  request: GatewayRequest,
  listing: {
    readonly format: Format;
    readonly query: ListingQuery;
    readonly page: ListingPage;
    readonly next: string | null;
    readonly entryCount: number;
  },
): string {
  const { format, query, page, next, entryCount } = listing;
  const lines = page.entries.map((entry) => JSON.stringify(jsonEntry(request, entry)));
  if (format === "lines") return lines.map((line) => `${line}\n`).join("");
  const head = {
    schema: "ashlar.gateway-list/2",
    ...jsonName("path", request.path.bytes),
    index: page.index,
    entry_count: entryCount,
    sort: query.sort,
    order: query.order,
    ...(query.filter === "" ? {} : { filter: query.filter }),
    next: next === null ? null : `${next}&json`,
  };
  return `${JSON.stringify(head).slice(0, -1)},"entries":[\n${lines.join(",\n")}\n]}\n`;
}

function jsonEntry({ path }: GatewayRequest, entry: DirectoryEntry): Record<string, unknown> {
  const { name, attributes } = entry;
  const isDirectory = attributes.kind === "directory";
  return {
    ...jsonName("name", name),
    href: urlOf([...path.names, parseEntryName(name)], isDirectory),
    ...jsonAttributes(attributes),
    ...(attributes.kind === "file" ? { etag: etagOf(attributes) } : {}),
  };
}
