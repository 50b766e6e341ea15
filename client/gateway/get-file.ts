import { Readable } from "node:stream";
import { create as contentDisposition } from "content-disposition";
import { contentType } from "mime-types";
import { displayName, isUtf8 } from "../../shared/base/path.ts";
import { formatCount } from "../../shared/display/format.ts";
import type { FileAttributes } from "../index.ts";
import type { FileHandle } from "../results.ts";
import { etagOf, evaluateConditions, httpDate, isRangeApplicable } from "./conditions.ts";
import { type GatewayRequest, preconditionFailed, queryFlag } from "./gateway-request.ts";
import { parseRequestedRange } from "./requested-range.ts";

/**
 * Content security policy of stored files. A stored HTML page is displayed in a sandbox without
 * scripts and without the gateway's origin, so it cannot send requests to the gateway.
 */
const FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox";

/** Handles `GET /files/path` and HEAD of a file. All bytes come from one version. */
export async function getFile(request: GatewayRequest, handle: FileHandle): Promise<void> {
  const { context } = request;
  const { attributes } = handle;
  setFileHeaders(request, attributes);
  switch (evaluateConditions(context.method, context.headers, attributes)) {
    case "failed":
      throw preconditionFailed(request);
    case "not-modified":
      context.status = 304;
      return;
    case "proceed":
      answerRange(request, handle);
  }
}

function setFileHeaders(request: GatewayRequest, attributes: FileAttributes): void {
  const { context, path } = request;
  const name = textOfName(path.names.at(-1) ?? new Uint8Array());
  const lastModified = httpDate(attributes.mtimeMs);
  context.set({
    ETag: etagOf(attributes),
    ...(lastModified === null ? {} : { "Last-Modified": lastModified }),
    "Accept-Ranges": "bytes",
    "Cache-Control": "no-cache",
    "Content-Security-Policy": FILE_POLICY,
  });
  context.type = contentType(extensionOf(name)) || "application/octet-stream";
  if (queryFlag(request, "download")) context.set("Content-Disposition", contentDisposition(name));
}

/**
 * Returns a name for the parameter filename of RFC 6266, which is text: the name itself, or what
 * `displayName` shows if the name is not UTF-8.
 */
function textOfName(name: Uint8Array): string {
  return isUtf8(name) ? Buffer.from(name).toString("utf8") : displayName(name);
}

function extensionOf(name: string): string {
  const dot = name.lastIndexOf(".");
  return dot < 0 ? "" : name.slice(dot);
}

function answerRange(request: GatewayRequest, handle: FileHandle): void {
  const { context } = request;
  const { sizeBytes } = handle.attributes;
  const isApplicable = isRangeApplicable(context.headers, handle.attributes);
  // Only GET has ranges (RFC 9110, section 14.2).
  const header = context.method === "GET" && isApplicable ? context.headers.range : undefined;
  const range = parseRequestedRange(header, sizeBytes);
  switch (range.kind) {
    case "whole":
      context.status = 200;
      send(request, handle, { start: 0, end: sizeBytes });
      return;
    case "part":
      context.status = 206;
      context.set("Content-Range", `bytes ${range.start}-${range.end - 1}/${sizeBytes}`);
      send(request, handle, range);
      return;
    case "unsatisfiable":
    case "several":
      refuseRange(request, range.kind, sizeBytes);
  }
}

/** Answers with status 416. No error code has this status, because only HTTP has ranges. */
function refuseRange(
  { context, path }: GatewayRequest,
  kind: "unsatisfiable" | "several",
  sizeBytes: number,
): void {
  const [reason, hint] =
    kind === "several"
      ? ["several ranges in one request are not supported", "Request one range at a time"]
      : ["the range contains no byte of the file", "Request a range within the file"];
  const message = `Cannot read the range of ${path.text}, which has ${formatCount(sizeBytes, "byte")}: ${reason}`;
  context.remove("Content-Disposition");
  context.status = 416;
  context.set("Content-Range", `bytes */${sizeBytes}`);
  context.type = "json";
  context.body = { error: { code: "INVALID_ARGUMENT", message, hint, retry: "never" } };
}

function send(
  request: GatewayRequest,
  handle: FileHandle,
  range: { readonly start: number; readonly end: number },
): void {
  const { context } = request;
  const type = context.response.get("Content-Type");
  context.length = range.end - range.start;
  if (context.method === "HEAD") return;
  if (range.end === range.start) {
    context.body = Buffer.alloc(0);
  } else {
    request.beginTransfer();
    context.body = Readable.from(bytesOf(request, handle, range), { objectMode: false });
    context.length = range.end - range.start;
  }
  context.set("Content-Type", type); // Setting the body can change the type.
}

async function* bytesOf(
  request: GatewayRequest,
  handle: FileHandle,
  range: { readonly start: number; readonly end: number },
): AsyncGenerator<Uint8Array> {
  const { signal } = request.scope;
  const { readAheadBytesMax } = request.config;
  for await (const bytes of handle.stream({ ...range, readAheadBytesMax, signal })) {
    request.countBytes("out", bytes.length);
    yield bytes;
  }
}
