import { textOfBytes } from "../argument-text.ts";
import type { OpenQuote } from "./shells.ts";

/** The text of an escape sequence, and its length in the line. */
interface Escape {
  readonly text: string;
  readonly length: number;
}

const CONTROL_CODES: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  e: "\x1b",
  E: "\x1b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** `\x41`, `\101`, `\u00e4`, `\U0001f600`, `\cA`. fish writes a byte as `\X41`. */
const CODE =
  /^\\(?:[xX]([0-9a-fA-F]{1,2})|([0-7]{1,3})|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|c(.))/;
/** The last code point of Unicode. A greater number is no character in any shell. */
const CODE_POINT_MAX = 0x10ffff;

/** Reads an escape of `$'…'` in bash and zsh, or one outside of quotes in fish. */
export function readEscape(line: string, position: number): Escape {
  const next = line[position + 1] as string;
  const found = CODE.exec(line.slice(position, position + 10));
  if (found === null) {
    if (next === "\n") return { text: "", length: 2 };
    return { text: CONTROL_CODES[next] ?? next, length: 2 };
  }
  const [whole, hex, octal, short, long, control] = found;
  return { text: textOfCode({ hex, octal, point: short ?? long, control }), length: whole.length };
}

interface Code {
  readonly hex: string | undefined;
  readonly octal: string | undefined;
  readonly point: string | undefined;
  readonly control: string | undefined;
}

function textOfCode({ hex, octal, point, control }: Code): string {
  if (hex !== undefined) return textOfBytes(Buffer.of(Number.parseInt(hex, 16)));
  if (octal !== undefined) return textOfBytes(Buffer.of(Number.parseInt(octal, 8) & 0xff));
  if (control !== undefined) return String.fromCharCode(control.charCodeAt(0) & 0x1f);
  return String.fromCodePoint(Math.min(Number.parseInt(point ?? "0", 16), CODE_POINT_MAX));
}

/** Returns the text of a backslash and the next character where no codes exist (POSIX, 2.2). */
export function literalEscape(
  next: string,
  { quote, isFish }: { readonly quote: OpenQuote; readonly isFish: boolean },
): Escape {
  const inDoubleQuotes = isFish ? '"$\\\n' : '"$\\`\n';
  const quoted = quote === "single" ? "'\\" : inDoubleQuotes;
  if (quote !== "none" && !quoted.includes(next)) return { text: `\\${next}`, length: 2 };
  return { text: next === "\n" ? "" : next, length: 2 };
}

/** Parameters with a name, a number or a special name: `$a`, `$1`, `$?`. */
const PARAMETER = /^\$(?:[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])/;
/** Expansions with an end of their own. Their content can have blanks. */
const CLOSING: Readonly<Record<string, string>> = { "${": "}", "$(": ")" };

/**
 * Returns the length of the expansion of a parameter or a command that begins at `position`: 0 if
 * there is none, null if it does not end.
 */
export function expansionAt(line: string, position: number): number | null {
  const start = line.slice(position, position + 2);
  if (start.startsWith("`")) return lengthUntil(line, position, { open: "", close: "`" });
  const close = CLOSING[start];
  if (close !== undefined) {
    return lengthUntil(line, position, { open: start.slice(1), close });
  }
  return PARAMETER.exec(line.slice(position))?.[0].length ?? 0;
}

/** Counts nested brackets. Brackets in quotes count, too: the value is unknown in any case. */
function lengthUntil(
  line: string,
  position: number,
  { open, close }: { readonly open: string; readonly close: string },
): number | null {
  let depth = 1;
  for (let end = position + 1 + open.length; end < line.length; end += 1) {
    if (line[end] === close) depth -= 1;
    else if (line[end] === open) depth += 1;
    if (depth === 0) return end + 1 - position;
  }
  return null;
}
