import type { Readable } from "node:stream";
import busboy, { type Busboy, type FileInfo } from "busboy";
import pLimit from "p-limit";
import { AshlarError, ERROR_CODES, toErrorData } from "../../shared/base/errors.ts";
import { displayName, joinPath, parseEntryName } from "../../shared/base/path.ts";
import { pathErrorMessage } from "../../shared/base/path-errors.ts";
import { formatCount, jsonName } from "../../shared/display/format.ts";
import type { PutResult } from "../results.ts";
import { evaluateConditions } from "./conditions.ts";
import { acceptsPage, answerPage } from "./error-answer.ts";
import { decodeFormName, formBoundary, rewriteFormHeaders } from "./form-headers.ts";
import { type GatewayRequest, preconditionFailed, queryFlag } from "./gateway-request.ts";
import { bodyParts, fileTooLarge } from "./request-body.ts";
import { urlOf } from "./request-path.ts";

const FIELDS_MAX = 16;
const FIELD_BYTES_MAX = 1024;
/** Files of one form that are committed at the same time. */
const COMMITS_AT_ONCE_MAX = 4;

/** The result of one file of a form. */
type UploadResult =
  | { readonly kind: "stored"; readonly name: Uint8Array; readonly result: PutResult }
  | { readonly kind: "refused"; readonly name: Uint8Array; readonly error: unknown };

/**
 * Handles `POST /files/dir/`, a form with files (RFC 7578). Each file is stored completely or not
 * at all, independently of the others.
 *
 * Existing files are replaced if the query has `replace`, or if a form field "replace" precedes the
 * files.
 */
export async function postFiles(request: GatewayRequest): Promise<void> {
  const { context, files, path, scope } = request;
  const directory = await files.stat(path.bytes, { signal: scope.signal });
  if (directory.kind !== "directory") {
    throw new AshlarError("NOT_A_DIRECTORY", pathErrorMessage("NOT_A_DIRECTORY", path.text));
  }
  if (evaluateConditions("POST", context.headers, directory) !== "proceed") {
    throw preconditionFailed(request);
  }
  await request.beginTransfer("in");
  const form = new UploadForm(request);
  const uploaded = await form.read();
  if (uploaded.length === 0) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      "Cannot upload: expected at least one file in the form",
    );
  }
  respond(request, uploaded);
  if (acceptsPage(context)) respondWithPage(request, uploaded);
}

/** Reads one form, no faster than the files of the form are stored. */
class UploadForm {
  readonly #request: GatewayRequest;
  readonly #boundary: string;
  readonly #parser: Busboy;
  readonly #limit = pLimit(COMMITS_AT_ONCE_MAX);
  readonly #jobs: Array<Promise<UploadResult>> = [];
  /** Names of the files so far, as Latin-1. A second file of a name would replace the first. */
  readonly #names = new Set<string>();
  #replace: boolean;
  #failure: { readonly error: unknown } | null = null;

  constructor(request: GatewayRequest) {
    this.#request = request;
    this.#replace = queryFlag(request, "replace");
    this.#boundary = formBoundary(request.context.get("Content-Type"));
    const { formFilesMax } = request.config;
    this.#parser = parserFor(this.#boundary, formFilesMax);
    this.#parser.on("field", (name, value, { valueTruncated }) => {
      if (valueTruncated) this.#fail(tooMany("bytes in a field", FIELD_BYTES_MAX));
      if (name === "replace") this.#replace = value !== "" && value !== "false";
    });
    this.#parser.on("file", (_field, stream, file) => this.#startFile(file, stream));
    this.#parser.on("filesLimit", () => this.#fail(tooMany("files", formFilesMax)));
    this.#parser.on("fieldsLimit", () => this.#fail(tooMany("fields", FIELDS_MAX)));
    this.#parser.on("error", (cause: Error) => {
      const message = `Cannot read the form: ${cause.message}`;
      this.#fail(new AshlarError("INVALID_ARGUMENT", message, { cause }));
    });
  }

  /**
   * Resolves with the result of each file when all of them are stored or refused.
   *
   * @throws {AshlarError} INVALID_ARGUMENT, TOO_LARGE, CANCELLED if the form was cut off
   */
  async read(): Promise<UploadResult[]> {
    try {
      for await (const part of rewriteFormHeaders(bodyParts(this.#request), this.#boundary)) {
        await this.#feed(part);
        if (this.#failure !== null) break;
      }
    } catch (error) {
      this.#fail(error);
    }
    if (this.#failure === null) await this.#end();
    const uploaded = await Promise.all(this.#jobs);
    if (this.#failure !== null) throw this.#failure.error;
    return uploaded;
  }

  /**
   * Passes a part of the body to the parser. Resolves when the parser is ready for the next part
   * and no file waits for its turn, so memory is bounded for any number of files.
   */
  async #feed(part: Buffer): Promise<void> {
    const countBefore = this.#jobs.length;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#parser.off("close", done);
        resolve();
      };
      this.#parser.once("close", done); // A failed parser does not call the callback.
      this.#parser.write(part, done);
    });
    // Only the last file can be incomplete.
    const first = Math.max(0, countBefore - COMMITS_AT_ONCE_MAX);
    await Promise.all(this.#jobs.slice(first, -COMMITS_AT_ONCE_MAX));
  }

  #end(): Promise<void> {
    return new Promise((resolve) => {
      this.#parser.once("close", resolve);
      this.#parser.end();
    });
  }

  /** The file that is being read ends with an error, so it is not stored. */
  #fail(error: unknown): void {
    this.#failure ??= { error };
    if (!this.#parser.destroyed) this.#parser.destroy(error as Error);
  }

  #startFile({ filename, encoding }: FileInfo, stream: Readable): void {
    // A destroyed parser continues in the current part of the body, but does not end its files.
    if (this.#failure !== null) return;
    stream.on("error", () => {}); // The reader of the stream receives the error, too.
    const name = lastName(decodeFormName(filename ?? ""));
    const replace = this.#replace;
    const job = this.#limit(async (): Promise<UploadResult> => {
      try {
        checkTransferEncoding(encoding);
        return { kind: "stored", name, result: await this.#store(name, stream, replace) };
      } catch (error) {
        stream.resume(); // Skip the rest of the file, so that the next file is reached.
        return { kind: "refused", name, error };
      }
    });
    this.#jobs.push(job);
  }

  async #store(name: Uint8Array, stream: Readable, replace: boolean): Promise<PutResult> {
    const { files, path, scope } = this.#request;
    const names = [...path.names, entryName(name)];
    this.#claim(name);
    return await files.writeFile(joinPath(names), this.#bytesOf(stream), {
      replace,
      signal: scope.signal,
    });
  }

  #claim(name: Uint8Array): void {
    const key = Buffer.from(name).toString("latin1");
    if (this.#names.has(key)) {
      throw new AshlarError(
        "ALREADY_EXISTS",
        `Cannot store "${displayName(name)}": the form contains another file of this name`,
      );
    }
    this.#names.add(key);
  }

  async *#bytesOf(stream: Readable): AsyncGenerator<Buffer> {
    let lengthBytes = 0;
    const parts: AsyncIterable<Buffer> = stream.iterator({ destroyOnReturn: false });
    for await (const bytes of parts) {
      lengthBytes += bytes.length;
      if (lengthBytes > this.#request.config.fileBytesMax) throw fileTooLarge(this.#request);
      this.#request.countBytes("in", bytes.length);
      yield bytes;
    }
  }
}

function parserFor(boundary: string, formFilesMax: number): Busboy {
  return busboy({
    headers: { "content-type": `multipart/form-data; boundary="${boundary}"` },
    defParamCharset: "latin1", // Names are bytes.
    preservePath: true, // busboy also cuts names at a backslash.
    limits: {
      // One more than allowed: busboy marks a field of exactly the limit as truncated.
      fieldSize: FIELD_BYTES_MAX + 1,
      fields: FIELDS_MAX,
      files: formFilesMax,
    },
  });
}

/** Returns the name after the last slash: some browsers send the path of a file. */
function lastName(filename: Uint8Array): Uint8Array {
  return filename.subarray(filename.lastIndexOf(0x2f) + 1);
}

/** Refuses encoded bytes, which would be stored as they are. */
function checkTransferEncoding(encoding: string): void {
  if (/^(7bit|8bit|binary)$/.test(encoding)) return;
  throw new AshlarError(
    "UNSUPPORTED",
    `Cannot store a file with Content-Transfer-Encoding "${encoding.slice(0, 100)}": expected binary`,
  );
}

function entryName(name: Uint8Array): ReturnType<typeof parseEntryName> {
  if (name.length > 0) return parseEntryName(name);
  throw new AshlarError(
    "INVALID_ARGUMENT",
    "Cannot store a file: expected a file name in the form",
  );
}

function tooMany(nouns: string, max: number): AshlarError {
  return new AshlarError("TOO_LARGE", `Cannot read the form: expected at most ${max} ${nouns}`);
}

/**
 * Responds with 201 if all files are stored, 207 if some files are stored, and the status of the
 * first error if no file is stored.
 */
function respond({ context, path }: GatewayRequest, uploaded: readonly UploadResult[]): void {
  const refused = uploaded.flatMap((each) => (each.kind === "refused" ? [each.error] : []));
  const [first] = refused;
  const error = first === undefined ? null : errorBody(first);
  const statusOfError = error === null ? 201 : ERROR_CODES[error.code].httpStatus;
  const isPartial = error !== null && refused.length < uploaded.length;
  context.status = isPartial ? 207 : statusOfError;
  context.body = {
    schema: "ashlar.gateway-upload/1",
    ...(error === null ? {} : { error }),
    files: uploaded.map((each) => ({
      ...jsonName("name", each.name),
      ...(each.kind === "refused"
        ? { error: errorBody(each.error), shown: displayName(each.name) }
        : {
            href: urlOf([...path.names, entryName(each.name)], false),
            size_bytes: each.result.sizeBytes,
            content_root: Buffer.from(each.result.contentRoot).toString("hex"),
            index: each.result.index,
          }),
    })),
  };
}

/** A browser without the script returns to the page, or sees which files are not stored. */
function respondWithPage(
  { context, path }: GatewayRequest,
  uploaded: readonly UploadResult[],
): void {
  const refused = uploaded.flatMap((each) => (each.kind === "refused" ? [each] : []));
  if (refused.length === 0) {
    context.redirect(urlOf(path.names, true));
    context.status = 303;
    return;
  }
  const { status } = context;
  const stored = formatCount(uploaded.length - refused.length, "file");
  const lines = refused.map(
    ({ error, name }) => `${displayName(name)}: ${toErrorData(error).message}`,
  );
  answerPage(context, `${status} Upload`, [`Stored: ${stored}. Not stored:`, ...lines]);
  context.status = status;
}

function errorBody(error: unknown): ReturnType<typeof toErrorData> & { readonly retry: string } {
  const data = toErrorData(error);
  return { ...data, retry: ERROR_CODES[data.code].retry };
}
