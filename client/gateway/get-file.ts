import { Readable } from "node:stream";
import { create as contentDisposition } from "content-disposition";
import { toHex } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { displayName, isUtf8 } from "../../shared/base/path.ts";
import { formatCount } from "../../shared/display/format.ts";
import type { FileAttributes } from "../index.ts";
import type { FileHandle } from "../results.ts";
import { etagOf, evaluateConditions, httpDate, isRangeApplicable } from "./conditions.ts";
import { answerError } from "./error-answer.ts";
import { type BodySegment, fileBody } from "./file-body.ts";
import { type GatewayRequest, preconditionFailed, queryFlag } from "./gateway-request.ts";
import { mediaTypeOf } from "./media-type.ts";
import { type PartRange, parseRequestedRange } from "./requested-range.ts";

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
      await answerRange(request, handle);
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
  context.type = mediaTypeOf(name);
  if (queryFlag(request, "download")) context.set("Content-Disposition", contentDisposition(name));
}

/**
 * Returns a name for the parameter filename of RFC 6266, which is text: the name itself, or what
 * `displayName` shows if the name is not UTF-8.
 */
function textOfName(name: Uint8Array): string {
  return isUtf8(name) ? Buffer.from(name).toString("utf8") : displayName(name);
}

async function answerRange(request: GatewayRequest, handle: FileHandle): Promise<void> {
  const { context } = request;
  const { sizeBytes } = handle.attributes;
  const isApplicable = isRangeApplicable(context.headers, handle.attributes);
  // Only GET has ranges (RFC 9110, section 14.2).
  const header = context.method === "GET" && isApplicable ? context.headers.range : undefined;
  const range = parseRequestedRange(header, sizeBytes);
  switch (range.kind) {
    case "whole":
      context.status = 200;
      return await send(request, handle, [{ start: 0, end: sizeBytes }]);
    case "parts":
      context.status = 206;
      return await sendParts(request, handle, range.parts);
    case "unsatisfiable":
      return refuseRange(request, sizeBytes);
  }
}

/** Answers with status 416. No error code has this status, because only HTTP has ranges. */
function refuseRange({ context, path }: GatewayRequest, sizeBytes: number): void {
  const size = formatCount(sizeBytes, "byte");
  const error = new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot read the range of ${path.text}, which has ${size}: the range contains no byte of the file`,
    { hint: "Request a range within the file" },
  );
  answerError(context, error, 416);
  context.set("Content-Range", `bytes */${sizeBytes}`);
}

/**
 * Sends one part as it is, and several parts as multipart/byteranges (RFC 9110, section 14.6). The
 * boundary is a hash of the file, so the file cannot contain it.
 */
function sendParts(
  request: GatewayRequest,
  handle: FileHandle,
  parts: readonly PartRange[],
): Promise<void> {
  const { context } = request;
  const { sizeBytes, contentRoot } = handle.attributes;
  const [first] = parts;
  const rangeOf = ({ start, end }: PartRange): string => `bytes ${start}-${end - 1}/${sizeBytes}`;
  if (first !== undefined && parts.length === 1) {
    context.set("Content-Range", rangeOf(first));
    return send(request, handle, parts);
  }
  const type = context.response.get("Content-Type");
  const boundary = toHex(contentRoot);
  const segments = parts.flatMap((part, position): BodySegment[] => {
    const lineEnd = position === 0 ? "" : "\r\n";
    const head = `--${boundary}\r\nContent-Type: ${type}\r\nContent-Range: ${rangeOf(part)}\r\n\r\n`;
    return [Buffer.from(lineEnd + head), part];
  });
  context.set("Content-Type", `multipart/byteranges; boundary=${boundary}`);
  return send(request, handle, [...segments, Buffer.from(`\r\n--${boundary}--\r\n`)]);
}

async function send(
  request: GatewayRequest,
  handle: FileHandle,
  segments: readonly BodySegment[],
): Promise<void> {
  const { context } = request;
  const type = context.response.get("Content-Type");
  const lengths = segments.map((segment) =>
    segment instanceof Uint8Array ? segment.length : segment.end - segment.start,
  );
  const lengthBytes = lengths.reduce((sum, length) => sum + length, 0);
  context.length = lengthBytes;
  if (context.method === "HEAD") return;
  if (lengthBytes === 0) context.body = Buffer.alloc(0);
  else {
    const slot = await request.beginTransfer("out");
    const body = fileBody(request, { handle, slot }, segments);
    context.body = Readable.from(body, { objectMode: false });
    context.length = lengthBytes;
  }
  context.set("Content-Type", type); // Setting the body can change the type.
}
