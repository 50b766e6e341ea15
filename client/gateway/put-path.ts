import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { joinPath } from "../../shared/base/path.ts";
import { pathErrorMessage } from "../../shared/base/path-errors.ts";
import { jsonName } from "../../shared/display/format.ts";
import { type Attributes, type FileAttributes, targetOf } from "../index.ts";
import type { PutResult } from "../results.ts";
import { evaluateConditions, preconditionsOf } from "./conditions.ts";
import {
  type GatewayRequest,
  preconditionFailed,
  queryFlag,
  refuseSlashAfterFile,
  statOrNull,
} from "./gateway-request.ts";
import { awaitsContinue, checkAnnouncedLength, requestBody } from "./request-body.ts";
import { urlOf } from "./request-path.ts";

/** Handles `PUT /files/path`, which stores the body, and `PUT /files/path/?directory`. */
export async function putPath(request: GatewayRequest): Promise<void> {
  if (queryFlag(request, "directory")) return makeDirectory(request);
  return putFile(request);
}

async function makeDirectory(request: GatewayRequest): Promise<void> {
  const { context, files, path, scope } = request;
  refuseBody(request);
  requireConditions(request, await statOrNull(request));
  await makeParents(request);
  const { index, inode } = await files.mkdir(path.bytes, { signal: scope.signal });
  const href = urlOf(path.names, true);
  context.status = 201;
  context.set("Location", href);
  context.body = {
    schema: "ashlar.gateway-mkdir/1",
    ...jsonName("path", path.bytes),
    href,
    inode,
    index,
  };
}

function requireConditions(request: GatewayRequest, found: Attributes | null): void {
  const result = evaluateConditions("PUT", request.context.headers, found);
  if (result !== "proceed") throw preconditionFailed(request);
}

/** Makes the missing directories above the path if the query has `parents`. */
async function makeParents(request: GatewayRequest): Promise<void> {
  const { files, path, scope } = request;
  if (!queryFlag(request, "parents") || path.names.length < 2) return;
  const parent = joinPath(path.names.slice(0, -1));
  await files.mkdir(parent, { parents: true, signal: scope.signal });
}

/** Refuses a request that fails for any other reason than its body, before the body is read. */
async function prepareUpload(request: GatewayRequest): Promise<FileAttributes | null> {
  const { files, path, scope } = request;
  const found = requireFile(request, await statOrNull(request));
  checkHeaders(request);
  requireConditions(request, found);
  checkAnnouncedLength(request);
  await request.beginTransfer("in");
  await makeParents(request);
  if (found === null && awaitsContinue(request.context)) {
    // The client waits for this answer with its body.
    await files.stat(joinPath(path.names.slice(0, -1)), { signal: scope.signal });
  }
  return found;
}

async function putFile(request: GatewayRequest): Promise<void> {
  const { context, files, path, scope } = request;
  const found = await prepareUpload(request);
  const preconditions = preconditionsOf(context.headers, targetOf(path.bytes), found);
  const sizeHint = context.request.length;
  const sized = sizeHint === undefined ? {} : { sizeHint };
  const options = { signal: scope.signal, replace: true, preconditions, ...sized };
  const source = requestBody(request);
  try {
    const result = await files.writeFile(path.bytes, source, options);
    respond(request, result, found === null);
  } catch (error) {
    // Another client has changed the path since the evaluation of the conditions.
    if (isAshlarError(error, "PRECONDITION_FAILED")) throw preconditionFailed(request);
    throw error;
  }
}

/** Returns the file that the upload replaces, or null. Refuses the path of a directory. */
function requireFile(request: GatewayRequest, found: Attributes | null): FileAttributes | null {
  const { path } = request;
  if (found?.kind === "directory") {
    throw new AshlarError("IS_A_DIRECTORY", pathErrorMessage("IS_A_DIRECTORY", path.text));
  }
  if (found !== null) refuseSlashAfterFile(request, "file");
  if (!path.hasTrailingSlash) return found;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot put a file at ${path.text}/: expected a path without "/" at the end`,
    { hint: "?directory makes a directory" },
  );
}

/**
 * The only value of each header that changes the meaning of a body. A partial body stored as the
 * whole file would lose the rest (RFC 9110, section 14.4).
 */
const ACCEPTED_HEADERS = {
  "content-encoding": "identity",
  "content-range": null,
  "transfer-encoding": "chunked",
} as const;

/** Refuses a body that is not the complete file as it must be stored. */
function checkHeaders({ context, path }: GatewayRequest): void {
  const { headers } = context;
  for (const [name, accepted] of Object.entries(ACCEPTED_HEADERS)) {
    const value = context.get(name).toLowerCase();
    if (value === "" || value === accepted) continue;
    throw new AshlarError(
      "UNSUPPORTED",
      `Cannot put a file with the header ${name}: expected the complete file without encoding`,
    );
  }
  if (headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined) return;
  // Such a request has no body (RFC 9112, section 6.3), which is rarely what its sender means.
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot put a file at ${path.text}: expected a body: the request has no Content-Length`,
    { hint: "An empty file has the header Content-Length: 0" },
  );
}

/** Refuses a body where it would be dropped. */
function refuseBody({ context, path }: GatewayRequest): void {
  const { headers } = context;
  if ((context.request.length ?? 0) === 0 && headers["transfer-encoding"] === undefined) return;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot make the directory ${path.text}: expected a request without a body`,
    { hint: "PUT without ?directory stores the body as a file" },
  );
}

function respond({ context, path }: GatewayRequest, result: PutResult, isNew: boolean): void {
  const root = Buffer.from(result.contentRoot).toString("hex");
  const href = urlOf(path.names, false);
  context.status = isNew ? 201 : 200;
  context.set("ETag", `"${root}"`);
  if (isNew) context.set("Location", href);
  context.body = {
    schema: "ashlar.gateway-put/1",
    ...jsonName("path", path.bytes),
    href,
    is_new: isNew,
    size_bytes: result.sizeBytes,
    chunk_count: result.chunkCount,
    content_root: root,
    index: result.index,
  };
}
