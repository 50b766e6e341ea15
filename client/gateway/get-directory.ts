import { Readable } from "node:stream";
import { parseEntryName } from "../../shared/base/path.ts";
import { jsonAttributes, jsonName } from "../../shared/display/format.ts";
import type { DirectoryEntry } from "../results.ts";
import { etagOf, httpDate } from "./conditions.ts";
import { directoryPage, PAGE_POLICY } from "./directory-page.ts";
import { type GatewayRequest, queryFlag } from "./gateway-request.ts";
import { urlOf } from "./request-path.ts";

const FLUSH_CHARACTERS = 32 * 1024;
const LINES_TYPE = "application/x-ndjson";

/**
 * Handles `GET /files/dir/` and HEAD. It answers with HTML, JSON or JSON lines, as the request
 * accepts. Entries are sent as they arrive, so memory does not depend on their number.
 */
export async function getDirectory(request: GatewayRequest): Promise<void> {
  const { context, files, path, scope } = request;
  const attributes = await files.stat(path.bytes, { signal: scope.signal });
  const format = formatOf(request);
  context.status = 200;
  context.set("Vary", "Accept");
  context.set("Cache-Control", "no-store");
  const lastModified = httpDate(attributes.mtimeMs);
  if (lastModified !== null) context.set("Last-Modified", lastModified);
  if (format === "html") context.set("Content-Security-Policy", PAGE_POLICY);
  const type = format === "html" ? "text/html; charset=utf-8" : jsonTypeOf(format);
  context.set("Content-Type", type);
  if (context.method === "HEAD") return;
  await request.beginTransfer("out");
  const entries = files.list(path.bytes, { signal: scope.signal });
  context.body = Readable.from(inBatches(textOf(format, request, entries)), { objectMode: false });
  context.set("Content-Type", type);
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

function jsonTypeOf(format: Format): string {
  return format === "lines" ? LINES_TYPE : "application/json; charset=utf-8";
}

function textOf(
  format: Format,
  request: GatewayRequest,
  entries: AsyncIterable<DirectoryEntry>,
): AsyncIterable<string> {
  switch (format) {
    case "html":
      return directoryPage(request.path.names, entries);
    case "json":
      return jsonListing(request, entries);
    case "lines":
      return jsonLines(request, entries);
  }
}

async function* jsonListing(
  request: GatewayRequest,
  entries: AsyncIterable<DirectoryEntry>,
): AsyncGenerator<string> {
  const head = { schema: "ashlar.gateway-list/1", ...jsonName("path", request.path.bytes) };
  yield `${JSON.stringify(head).slice(0, -1)},"entries":[`;
  let separator = "\n";
  for await (const entry of entries) {
    yield separator + JSON.stringify(jsonEntry(request, entry));
    separator = ",\n";
  }
  yield "\n]}\n";
}

async function* jsonLines(
  request: GatewayRequest,
  entries: AsyncIterable<DirectoryEntry>,
): AsyncGenerator<string> {
  for await (const entry of entries) yield `${JSON.stringify(jsonEntry(request, entry))}\n`;
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

/** Joins short texts: one write to the socket per entry would cost more than the entry. */
async function* inBatches(texts: AsyncIterable<string>): AsyncGenerator<Buffer> {
  let batch = "";
  for await (const text of texts) {
    batch += text;
    if (batch.length < FLUSH_CHARACTERS) continue;
    yield Buffer.from(batch);
    batch = "";
  }
  if (batch !== "") yield Buffer.from(batch);
}
