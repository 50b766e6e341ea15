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
/** Files that are committed at the same time. */
const COMMITS_AT_ONCE_MAX = 4;

type Uploaded =
  | { readonly kind: "stored"; readonly name: Uint8Array; readonly result: PutResult }
  | { readonly kind: "refused"; readonly name: Uint8Array; readonly error: unknown };

/**
 * `POST /files/dir/`, a form with files (RFC 7578): each is stored whole or not at all, whatever
 * becomes of the others.
 *
 * A field "replace" before the files, or `?replace`, lets them replace files that are there.
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
    throw new AshlarError("INVALID_ARGUMENT", "Cannot upload: the form holds no file");
  }
  answer(request, uploaded);
  // Without the page's script: back to the page.
  const isAllStored = uploaded.every(({ kind }) => kind === "stored");
  if (isAllStored && context.accepts("application/json", "text/html") === "text/html") {
    context.redirect(urlOf(path.names, true));
    context.status = 303;
  }
}

/** One form, read as fast as its files are stored. */
class UploadForm {
  readonly #request: GatewayRequest;
  readonly #parser: Busboy;
  readonly #limit = pLimit(COMMITS_AT_ONCE_MAX);
  readonly #jobs: Array<Promise<Uploaded>> = [];
  #replace: boolean;
  #failure: Error | null = null;

  constructor(request: GatewayRequest) {
    this.#request = request;
    this.#replace = queryFlag(request.context, "replace");
    this.#parser = parserFor(request);
    this.#parser.on("field", (name, value) => {
      if (name === "replace") this.#replace = value !== "" && value !== "false";
    });
    this.#parser.on("file", (_field, stream, { filename }) => this.#take(filename, stream));
    this.#parser.on("filesLimit", () => this.#fail(tooMany("files", request.config.formFilesMax)));
    this.#parser.on("fieldsLimit", () => this.#fail(tooMany("fields", FIELDS_MAX)));
    this.#parser.on("partsLimit", () => this.#fail(tooMany("parts", FIELDS_MAX)));
    this.#parser.on("error", (error: Error) => {
      this.#fail(new AshlarError("INVALID_ARGUMENT", `Cannot read the form: ${error.message}`));
    });
  }

  /** @throws {AshlarError} INVALID_ARGUMENT, TOO_LARGE, CANCELLED if the form broke off */
  async read(): Promise<Uploaded[]> {
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
   * Resolves when the parser has room and every file that is whole is stored: what waits in memory
   * is one part of the request, whatever the number of files in it.
   */
  async #feed(part: Buffer): Promise<void> {
    const begunBefore = this.#jobs.length;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#parser.off("close", done);
        resolve();
      };
      this.#parser.once("close", done); // A parser that failed calls nothing back.
      this.#parser.write(part, done);
    });
    const whole = this.#jobs.slice(Math.max(0, begunBefore - 1), -1);
    await Promise.all(whole);
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

  #take(filename: string | undefined, stream: Readable): void {
    stream.on("error", () => {}); // Whoever reads the stream is told, too.
    const name = Buffer.from(filename ?? "");
    const replace = this.#replace;
    const job = this.#limit(async (): Promise<Uploaded> => {
      try {
        return { kind: "stored", name, result: await this.#store(name, stream, replace) };
      } catch (error) {
        stream.resume(); // The rest of it stands before the next file.
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
        // One more than is taken: at exactly the limit busboy takes a file for cut.
        fileSize: config.fileBytesMax + 1,
        files: config.formFilesMax,
        parts: config.formFilesMax + FIELDS_MAX,
      },
    });
  } catch (cause) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot read the form: expected multipart/form-data: ${(cause as Error).message}`,
      { hint: "PUT takes a file's bytes as they are", cause },
    );
  }
}

function entryName(name: Uint8Array): ReturnType<typeof parseEntryName> {
  if (name.length > 0) return parseEntryName(name);
  throw new AshlarError("INVALID_ARGUMENT", "Cannot store a file without a name");
}

function tooMany(what: string, max: number): AshlarError {
  return new AshlarError("TOO_LARGE", `Cannot take the form: it has more than ${max} ${what}`);
}

/** 201 if all are stored, the error's own status if none is, 207 for some. */
function answer({ context, path }: GatewayRequest, uploaded: readonly Uploaded[]): void {
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
