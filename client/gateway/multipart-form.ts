import { AshlarError } from "../../shared/base/errors.ts";
import { type FormDisposition, parseFormDisposition } from "./form-disposition.ts";

const HEADER_BYTES_MAX = 16 * 1024;
const LINE_END = Buffer.from("\r\n");
const HEADERS_END = Buffer.from("\r\n\r\n");
const DASHES = Buffer.from("--");

/** One part of a form (RFC 7578). */
export interface FormPart extends FormDisposition {
  /** Value of Content-Transfer-Encoding in lower case; null if absent. */
  readonly transferEncoding: string | null;
  /** Yields the bytes of the part once. */
  readonly body: AsyncIterable<Buffer>;
  /** Resolves when `body` has yielded its last bytes. Never rejects. */
  readonly bodyRead: Promise<void>;
}

/** Returns the boundary in a Content-Type. @throws {AshlarError} INVALID_ARGUMENT */
export function formBoundary(contentType: string): string {
  const match = /^multipart\/form-data\s*;.*\bboundary=(?:"([^"]{1,70})"|([^\s;,"]{1,70}))/i.exec(
    contentType,
  );
  const boundary = match?.[1] ?? match?.[2];
  if (boundary !== undefined) return boundary;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot read the form: expected multipart/form-data with a boundary: current type is "${contentType.slice(0, 100)}"`,
    { hint: "PUT takes the bytes of one file as its body" },
  );
}

/**
 * Reads the parts of a form in order, without more than one part of `source` in memory.
 *
 * `next` skips what the consumer has not read of the part before. Names are bytes: they are not
 * decoded.
 */
export class MultipartForm {
  readonly #source: AsyncIterator<Buffer>;
  /** CR LF, two dashes and the boundary: it precedes each part and the end (RFC 2046, 5.1.1). */
  readonly #delimiter: Buffer;
  /** Bytes of the source that are not consumed. The first delimiter may have no line before it. */
  #buffer: Buffer = LINE_END;
  #isInBody = true; // The preamble is skipped like a body.
  /** The error of the source, which every later read reports, too. */
  #failure: { readonly error: unknown } | null = null;
  /** Reads are serialized: a consumer that stopped early may have a read in progress. */
  #lastRead: Promise<unknown> = Promise.resolve();

  constructor(source: AsyncIterable<Buffer>, boundary: string) {
    this.#source = source[Symbol.asyncIterator]();
    this.#delimiter = Buffer.from(`\r\n--${boundary}`, "latin1");
  }

  /**
   * Resolves with the next part; null after the last one.
   *
   * @throws {AshlarError} INVALID_ARGUMENT if the form is malformed or cut off; errors of `source`
   */
  async next(): Promise<FormPart | null> {
    while ((await this.#readBody()) !== null);
    if (await this.#startsWith(DASHES)) {
      await this.#skipEpilogue();
      return null;
    }
    const padding = await this.#takeUntil(LINE_END);
    if (padding.trim() !== "") throw malformed("expected the end of the line after the boundary");
    const isWithoutHeaders = await this.#startsWith(LINE_END);
    const headers = parseHeaders(await this.#takeUntil(isWithoutHeaders ? LINE_END : HEADERS_END));
    this.#isInBody = true;
    let markRead = (): void => {};
    const bodyRead = new Promise<void>((resolve) => {
      markRead = resolve;
    });
    return {
      ...parseFormDisposition(headers.get("content-disposition") ?? ""),
      transferEncoding: headers.get("content-transfer-encoding")?.toLowerCase() ?? null,
      body: this.#body(markRead),
      bodyRead,
    };
  }

  /** Ends the reading, so that another reader can skip the rest of the source. */
  close(): void {
    this.#source.return?.().catch(() => {});
  }

  async *#body(markRead: () => void): AsyncGenerator<Buffer> {
    for (;;) {
      const bytes = await this.#readBody();
      if (bytes === null) break;
      yield bytes;
    }
    markRead();
  }

  #readBody(): Promise<Buffer | null> {
    const read = this.#lastRead.then(() => this.#readBodyNow());
    this.#lastRead = read.catch(() => {});
    return read;
  }

  /** Resolves with bytes of the current body; null after the delimiter that ends it. */
  async #readBodyNow(): Promise<Buffer | null> {
    while (this.#isInBody) {
      const end = this.#buffer.indexOf(this.#delimiter);
      if (end >= 0) {
        const bytes = this.#buffer.subarray(0, end);
        this.#buffer = this.#buffer.subarray(end + this.#delimiter.length);
        this.#isInBody = false;
        return bytes.length > 0 ? bytes : null;
      }
      // The last bytes may be the begin of a delimiter.
      const safeBytes = this.#buffer.length - this.#delimiter.length + 1;
      if (safeBytes > 0) {
        const bytes = this.#buffer.subarray(0, safeBytes);
        this.#buffer = this.#buffer.subarray(safeBytes);
        return bytes;
      }
      await this.#more();
    }
    return null;
  }

  async #startsWith(bytes: Buffer): Promise<boolean> {
    while (this.#buffer.length < bytes.length) await this.#more();
    return this.#buffer.subarray(0, bytes.length).equals(bytes);
  }

  /** Resolves with the text before `end`, as Latin-1, and consumes both. */
  async #takeUntil(end: Buffer): Promise<string> {
    for (;;) {
      const at = this.#buffer.indexOf(end);
      const length = at < 0 ? this.#buffer.length : at;
      if (length > HEADER_BYTES_MAX) {
        throw malformed(`expected at most ${HEADER_BYTES_MAX} bytes of headers in a part`);
      }
      if (at >= 0) {
        const text = this.#buffer.toString("latin1", 0, at);
        this.#buffer = this.#buffer.subarray(at + end.length);
        return text;
      }
      await this.#more();
    }
  }

  async #skipEpilogue(): Promise<void> {
    this.#buffer = Buffer.alloc(0);
    while ((await this.#source.next()).done !== true);
  }

  async #more(): Promise<void> {
    if (this.#failure !== null) throw this.#failure.error;
    try {
      const next = await this.#source.next();
      if (next.done === true) throw malformed("expected its closing boundary before the end");
      const isEmpty = this.#buffer.length === 0;
      this.#buffer = isEmpty ? next.value : Buffer.concat([this.#buffer, next.value]);
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
  }
}

/** Returns the headers of a part. Of two headers with one name the first counts. */
function parseHeaders(text: string): Map<string, string> {
  const headers = new Map<string, string>();
  for (const line of text.split("\r\n").filter((each) => each !== "")) {
    const colon = line.indexOf(":");
    if (colon < 1) throw malformed(`expected "name: value" in the headers of a part`);
    const name = line.slice(0, colon).trim().toLowerCase();
    if (!headers.has(name)) headers.set(name, line.slice(colon + 1).trim());
  }
  return headers;
}

function malformed(expected: string): AshlarError {
  return new AshlarError("INVALID_ARGUMENT", `Cannot read the form: ${expected}`);
}
