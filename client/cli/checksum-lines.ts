import { AshlarError } from "../../shared/base/errors.ts";
import { displayName } from "../../shared/base/path.ts";

/** One line of `ashlar checksum`: a BLAKE3 and the path of a file. */
export interface ChecksumLine {
  /** 64 lower-case hex digits. */
  readonly hash: string;
  readonly path: Uint8Array;
}

const HASH_LENGTH = 64;
const LINE = /^(\\?)([0-9a-f]{64}) [ *](.+)$/s;
const ESCAPE = /\\(?:x([0-9a-f]{2})|(.)|$)/gs;
const ESCAPES: Readonly<Record<string, string>> = { "\\": "\\", n: "\n", r: "\r", t: "\t" };
const GNU_ESCAPES: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r" };

/**
 * Returns the line "HEX  PATH" without its end, as b3sum and the tools of GNU coreutils write it: a
 * path with a backslash or a line end has them as `\\`, `\n` and `\r`, and the line begins with a
 * backslash. All other bytes of the path are unchanged.
 *
 * @param options.isForTerminal also escapes the bytes that `displayName` escapes: these control a
 *   terminal. `parseChecksumLine` reads both forms.
 */
export function formatChecksumLine(
  { hash, path }: ChecksumLine,
  options: { readonly isForTerminal: boolean },
): Uint8Array {
  const text = Buffer.from(path).toString("latin1");
  const escaped = options.isForTerminal
    ? Buffer.from(displayName(path)).toString("latin1")
    : text.replace(/[\\\n\r]/g, (found) => GNU_ESCAPES[found] ?? found);
  return Buffer.from(`${escaped === text ? "" : "\\"}${hash}  ${escaped}`, "latin1");
}

/**
 * Parses a line that `formatChecksumLine`, b3sum or a tool of GNU coreutils wrote.
 *
 * @throws {AshlarError} INVALID_ARGUMENT
 */
export function parseChecksumLine(line: Uint8Array): ChecksumLine {
  const text = Buffer.from(line).toString("latin1");
  const [, backslash, hash, path] = LINE.exec(text) ?? [];
  if (hash === undefined || path === undefined) throw invalidLine(line);
  const name = backslash === "" ? path : path.replace(ESCAPE, unescaped(line));
  return { hash, path: Buffer.from(name, "latin1") };
}

function unescaped(line: Uint8Array): (found: string, hex?: string, letter?: string) => string {
  return (_, hex, letter) => {
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
    const character = ESCAPES[letter ?? ""];
    if (character === undefined) throw invalidLine(line);
    return character;
  };
}

function invalidLine(line: Uint8Array): AshlarError {
  const shown = displayName(line.subarray(0, HASH_LENGTH + 100));
  return new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot read a line of checksums: expected "HEX  PATH": current value is "${shown}"`,
  );
}
