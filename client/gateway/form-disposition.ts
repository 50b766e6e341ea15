import { AshlarError } from "../../shared/base/errors.ts";

/** Content of the Content-Disposition of a part of a form (RFC 7578, section 4.2). */
export interface FormDisposition {
  /** Name of the field, as Latin-1. */
  readonly field: string;
  /** Name of the file as bytes; null for a field that is not a file. */
  readonly filename: Uint8Array | null;
}

/** How the values in quotes of a header are written. */
type Quoting = "percent" | "backslash";

/**
 * Parses the Content-Disposition of a part. The header is given as Latin-1, so names are bytes.
 *
 * Browsers and curl replace `"`, CR and LF in a name by %22, %0D and %0A and change nothing else
 * (HTML, "multipart/form-data encoding algorithm"). Other programs write `\"` and `\\`. A header
 * that is well-formed in the first way is read in this way; any other header is read in the second
 * way.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if the header is malformed in both ways
 */
export function parseFormDisposition(header: string): FormDisposition {
  const parameters = parseParameters(header, "percent") ?? parseParameters(header, "backslash");
  const field = parameters?.get("name");
  if (parameters === null || field === undefined) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot read the form: expected Content-Disposition: form-data; name="…": current value is ${JSON.stringify(header.slice(0, 200))}`,
    );
  }
  const filename = parameters.get("filename");
  const extended = decodeExtended(parameters.get("filename*") ?? "");
  const plain = filename === undefined ? null : Buffer.from(filename, "latin1");
  return { field, filename: extended ?? plain };
}

/** Returns null if the header is not well-formed with this quoting. */
function parseParameters(header: string, quoting: Quoting): Map<string, string> | null {
  const type = /^form-data[ \t]*(?=;|$)/i.exec(header);
  if (type === null) return null;
  // A value in quotes, or a token.
  const inQuotes = quoting === "percent" ? /"([^"]*)"/ : /"((?:[^"\\]|\\[\s\S])*)"/;
  const parameter = new RegExp(
    `;[ \\t]*([!#$%&'*+.^_\`|~\\w-]+)[ \\t]*=[ \\t]*(?:${inQuotes.source}|([^\\s;"]+))[ \\t]*(?=;|$)`,
    "y",
  );
  parameter.lastIndex = type[0].length;
  const parameters = new Map<string, string>();
  while (parameter.lastIndex < header.length) {
    const match = parameter.exec(header);
    if (match === null) return null;
    const [, name = "", quoted, token] = match;
    const key = name.toLowerCase();
    const value = quoted === undefined ? (token ?? "") : unquote(quoted, quoting);
    if (!parameters.has(key)) parameters.set(key, value);
  }
  return parameters;
}

function unquote(text: string, quoting: Quoting): string {
  if (quoting === "backslash") return text.replace(/\\(["\\])/g, "$1");
  return text.replace(/%(22|0d|0a)/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** Decodes a value of RFC 8187, which some programs send. Returns null for another charset. */
function decodeExtended(value: string): Uint8Array | null {
  const match = /^(utf-8|iso-8859-1)'[^']*'((?:[^%]|%[0-9a-f]{2})*)$/i.exec(value);
  if (match === null) return null;
  const [, charset = "", encoded = ""] = match;
  const text = encoded.replace(/%(..)/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(text, charset.toLowerCase() === "utf-8" ? "latin1" : "utf8");
}
