import { AshlarError } from "../../shared/base/errors.ts";

/** Longest headers of one part, before and after they are rewritten. busboy refuses 16 KiB. */
const HEADER_BYTES_MAX = 15 * 1024;
const LINE_END = "\r\n";
const HEADERS_END = "\r\n\r\n";

const NAME = "[!#$%&'+.^_`|~\\w-]+";
const EXTENDED_VALUE = "utf-8'[\\w-]*'(?:[!#$&+.^_`|~\\w-]|%[0-9a-f]{2})+";

/**
 * Browsers and curl replace `"`, CR and LF in a name by %22, %0D and %0A and change nothing else
 * (HTML, "multipart/form-data encoding algorithm"). Other programs write `\"` and `\\`.
 */
const QUOTED_BY_BROWSERS = dispositionWith('[^"]*');
const QUOTED_BY_OTHERS = dispositionWith('(?:[^"\\\\]|\\\\[\\s\\S])*');

/** Returns the boundary in a Content-Type. @throws {AshlarError} INVALID_ARGUMENT */
export function formBoundary(contentType: string): string {
  const match =
    /^multipart\/form-data\s*;.*\bboundary=(?:"([ !#-[\]-~]{1,70})"|([!#-+\--:<-[\]-~]{1,70})(?=[\s;,]|$))/i.exec(
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
 * Yields a form (RFC 7578) with the Content-Disposition of each part rewritten for busboy 1.6,
 * which removes backslashes that browsers send, refuses control characters, and skips a part
 * without a valid header. The result of busboy is passed to `decodeFormName`.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if the form is malformed or cut off; errors of `source`
 */
export async function* rewriteFormHeaders(
  source: AsyncIterable<Buffer>,
  boundary: string,
): AsyncGenerator<Buffer> {
  const rewriter = new HeaderRewriter(boundary);
  for await (const bytes of source) yield* rewriter.push(bytes);
  if (!rewriter.isComplete) throw malformed("expected its closing boundary before the end");
}

class HeaderRewriter {
  /** Precedes each part and the end (RFC 2046, section 5.1.1). */
  readonly #delimiter: Buffer;
  /** Bytes that are not passed on: at most the headers of one part and one part of the source. */
  #buffer: Buffer = Buffer.from(LINE_END); // The first delimiter may have no line before it.
  #isInHeaders = false;
  isComplete = false;

  constructor(boundary: string) {
    this.#delimiter = Buffer.from(`${LINE_END}--${boundary}`, "latin1");
  }

  /** Yields the rewritten form, as far as it is known. Parts may be empty. */
  *push(bytes: Buffer): Generator<Buffer> {
    if (this.isComplete) return; // What follows the form is skipped.
    this.#buffer = this.#buffer.length === 0 ? bytes : Buffer.concat([this.#buffer, bytes]);
    for (;;) {
      if (!this.#isInHeaders) {
        const at = this.#buffer.indexOf(this.#delimiter);
        yield this.#take(at < 0 ? this.#safeLength() : at + this.#delimiter.length);
        if (at < 0) return;
        this.#isInHeaders = true; // The part before has ended, also if these headers are malformed.
      }
      const headers = this.#takeHeaders();
      if (headers === null) return;
      this.#isInHeaders = false;
      yield Buffer.from(headers, "latin1");
    }
  }

  #take(length: number): Buffer {
    const bytes = this.#buffer.subarray(0, length);
    this.#buffer = this.#buffer.subarray(length);
    return bytes;
  }

  /** Returns how many bytes precede what may be the begin of a delimiter. */
  #safeLength(): number {
    const { length } = this.#buffer;
    const at = this.#buffer.indexOf("\r", Math.max(0, length - this.#delimiter.length + 1));
    return at < 0 ? length : at;
  }

  /** Consumes what follows a delimiter. Returns null if it has not arrived. */
  #takeHeaders(): string | null {
    if (this.#buffer.toString("latin1", 0, 2) === "--") {
      this.isComplete = true;
      this.#buffer = Buffer.alloc(0);
      return "--";
    }
    const end = this.#buffer.indexOf(HEADERS_END);
    if ((end < 0 ? this.#buffer.length : end) > HEADER_BYTES_MAX) throw headersTooLong();
    if (end < 0) return null;
    const text = this.#take(end + HEADERS_END.length).toString("latin1", 0, end);
    return rewriteHeaders(text) + HEADERS_END;
  }
}

/** Returns the bytes of a name that busboy read from a rewritten form as Latin-1. */
export function decodeFormName(name: string): Buffer {
  const text = name.replace(/%(..)/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(text, "latin1");
}

/** Rewrites what is between a boundary and the empty line. */
function rewriteHeaders(text: string): string {
  const [padding = "", ...lines] = text.split(LINE_END);
  if (padding.trim() !== "") throw malformed("expected the end of the line after the boundary");
  let hasDisposition = false;
  const rewritten = lines.map((line) => {
    if (!/^[^\s:]+:/.test(line)) throw malformed('expected "name: value" in the headers of a part');
    const [, value] = /^content-disposition:([\s\S]*)$/i.exec(line) ?? [];
    if (value === undefined) return line;
    hasDisposition = true;
    return `Content-Disposition: ${rewriteDisposition(value.trim())}`;
  });
  if (!hasDisposition) throw malformedDisposition("");
  const result = ["", ...rewritten].join(LINE_END);
  if (result.length > HEADER_BYTES_MAX) throw headersTooLong();
  return result;
}

function rewriteDisposition(value: string): string {
  let escaped: string;
  if (QUOTED_BY_BROWSERS.test(value)) {
    escaped = value.replace(/%(?!22|0d|0a)|[\\\p{Cc}]/giu, escapeCharacter);
  } else if (QUOTED_BY_OTHERS.test(value)) {
    escaped = value.replace(/[%\p{Cc}]/gu, escapeCharacter);
  } else throw malformedDisposition(value);
  // busboy takes a file without a name for a field. The name after the last slash counts.
  return escaped.replace(/(;[ \t]*filename=)""/i, '$1"/"');
}

function escapeCharacter(character: string): string {
  return character === "\t" ? character : `%${Buffer.from(character, "latin1").toString("hex")}`;
}

function dispositionWith(inQuotes: string): RegExp {
  const plain = `${NAME}=(?:"${inQuotes}"|[*!#$%&'+.^_\`|~\\w-]+)`;
  const parameter = `;[ \\t]*(?:${plain}|${NAME}\\*=${EXTENDED_VALUE})[ \\t]*`;
  return new RegExp(`^form-data[ \\t]*(?:${parameter})+$`, "i");
}

function malformedDisposition(value: string): AshlarError {
  const expected = 'expected Content-Disposition: form-data; name="…"; filename="…" in a part';
  return malformed(`${expected}: current value is ${JSON.stringify(value.slice(0, 200))}`);
}

function headersTooLong(): AshlarError {
  return malformed(`expected at most ${HEADER_BYTES_MAX} bytes of headers in a part`);
}

function malformed(expected: string): AshlarError {
  return new AshlarError("INVALID_ARGUMENT", `Cannot read the form: ${expected}`, {
    hint: "PUT takes the bytes of one file as its body",
  });
}
