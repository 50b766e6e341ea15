import type { Readable } from "node:stream";
import busboy, { type Busboy } from "busboy";
import pLimit from "p-limit";
import { AshlarError, ERROR_CODES, toErrorData } from "../../shared/base/errors.ts";
import { displayName, joinPath, parseEntryName } from "../../shared/base/path.ts";
import { pathErrorMessage } from "../../shared/base/path-errors.ts";
import { jsonName } from "../../shared/display/format.ts";
import type { PutResult } from "../results.ts";
import { type GatewayRequest, queryFlag } from "./gateway-request.ts";
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
  request.beginTransfer();
  const form = new UploadForm(request);
  const uploaded = await form.read();
  if (uploaded.length === 0) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      "Cannot upload: expected at least one file in the form",
    );
  }
  respond(request, uploaded);
  // A browser without the page's script returns to the page.
  const isAllStored = uploaded.every(({ kind }) => kind === "stored");
  if (isAllStored && context.accepts("application/json", "text/html") === "text/html") {
    context.redirect(urlOf(path.names, true));
    context.status = 303;
  }
}

/** Reads one form, no faster than the files of the form are stored. */
class UploadForm {
  readonly #request: GatewayRequest;
  readonly #parser: Busboy;
  readonly #limit = pLimit(COMMITS_AT_ONCE_MAX);
  readonly #jobs: Array<Promise<UploadResult>> = [];
  #replace: boolean;
  #failure: Error | null = null;

  constructor(request: GatewayRequest) {
    this.#request = request;
    this.#replace = queryFlag(request.context, "replace");
    this.#parser = parserFor(request);
    this.#parser.on("field", (name, value) => {
      if (name === "replace") this.#replace = value !== "" && value !== "false";
    });
    this.#parser.on("file", (_field, stream, { filename }) => this.#storeFile(filename, stream));
    this.#parser.on("filesLimit", () => this.#fail(tooMany("files", request.config.formFilesMax)));
    this.#parser.on("fieldsLimit", () => this.#fail(tooMany("fields", FIELDS_MAX)));
    this.#parser.on("partsLimit", () => this.#fail(tooMany("parts", FIELDS_MAX)));
    this.#parser.on("error", (error: Error) => {
      this.#fail(new AshlarError("INVALID_ARGUMENT", `Cannot read the form: ${error.message}`));
    });
  }

  /** @throws {AshlarError} INVALID_ARGUMENT, TOO_LARGE, CANCELLED if the form was cut off */
  async read(): Promise<UploadResult[]> {
    try {
      for await (const part of bodyParts(this.#request)) {
        await this.#feed(part);
        if (this.#failure !== null) break;
      }
    } catch (error) {
      this.#fail(error as Error);
    }
    await this.#end();
    const uploaded = await Promise.all(this.#jobs);
    if (this.#failure !== null) throw this.#failure;
    return uploaded;
  }

  /**
   * Passes one part of the body to the parser. Resolves when the parser is ready for the next part
   * and every complete file is stored, so that memory holds one part for any number of files.
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
    const completed = this.#jobs.slice(Math.max(0, countBefore - 1), -1);
    await Promise.all(completed);
  }

  #end(): Promise<void> {
    return new Promise((resolve) => {
      this.#parser.once("close", resolve);
      if (this.#parser.destroyed) resolve();
      else if (this.#failure === null) this.#parser.end();
      else this.#parser.destroy(this.#failure);
    });
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    if (!this.#parser.destroyed) this.#parser.destroy(error);
  }

  #storeFile(filename: string | undefined, stream: Readable): void {
    stream.on("error", () => {}); // The reader of the stream receives the error, too.
    const name = Buffer.from(filename ?? "");
    const replace = this.#replace;
    const job = this.#limit(async (): Promise<UploadResult> => {
      try {
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
    return await files.writeFile(joinPath(names), this.#bytesOf(stream), {
      replace,
      signal: scope.signal,
    });
  }

  async *#bytesOf(stream: Readable & { truncated?: boolean }): AsyncGenerator<Buffer> {
    const parts: AsyncIterable<Buffer> = stream.iterator({ destroyOnReturn: false });
    for await (const part of parts) {
      this.#request.countBytes("in", part.length);
      yield part;
    }
    if (stream.truncated === true) throw fileTooLarge(this.#request);
  }
}

function parserFor({ context, config }: GatewayRequest): Busboy {
  try {
    return busboy({
      headers: context.headers,
      defParamCharset: "utf8",
      limits: {
        fieldNameSize: 100,
        fieldSize: FIELD_BYTES_MAX,
        fields: FIELDS_MAX,
        // One more than allowed: busboy marks a file of exactly the limit as truncated.
        fileSize: config.fileBytesMax + 1,
        files: config.formFilesMax,
        parts: config.formFilesMax + FIELDS_MAX,
      },
    });
  } catch (cause) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot read the form: expected multipart/form-data: ${(cause as Error).message}`,
      { hint: "PUT takes the bytes of one file as its body", cause },
    );
  }
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

function errorBody(error: unknown): ReturnType<typeof toErrorData> & { readonly retry: string } {
  const data = toErrorData(error);
  return { ...data, retry: ERROR_CODES[data.code].retry };
}
