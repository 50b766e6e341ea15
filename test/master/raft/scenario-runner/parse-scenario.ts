/**
 * A directive of a scenario file. The format is that of cockroachdb/datadriven:
 *
 *     # comment
 *     command argument key=value key=(value,value)
 *     input
 *     ----
 *     expected output, up to a blank line; or between double fences if it contains blank lines
 */
export interface Directive {
  readonly command: string;
  readonly arguments: readonly Argument[];
  /** Lines between the command and the fence, joined by line feeds. */
  readonly input: string;
  /** Expected output; every line ends with a line feed. */
  readonly expected: string;
  /** Line number of the command, starting at 1. */
  readonly line: number;
  /** Lines of `expected`, including inner fences: `[expectedFrom, expectedTo)`, starting at 0. */
  readonly expectedFrom: number;
  readonly expectedTo: number;
}

/** An argument of a directive: `key`, `key=value` or `key=(value,value)`. */
export interface Argument {
  readonly key: string;
  readonly values: readonly string[];
}

const FENCE = "----";

/** Parses all directives of a scenario file. */
export function parseScenario(text: string): readonly Directive[] {
  const lines = text.split("\n");
  const directives: Directive[] = [];
  let next = 0;
  while (next < lines.length) {
    const line = lines[next] as string;
    if (line.trim() === "" || line.startsWith("#")) {
      next += 1;
      continue;
    }
    const directive = parseDirective(lines, next);
    directives.push(directive);
    next = directive.expectedTo;
  }
  return directives;
}

/** Returns `text` with the expected outputs of its directives replaced by `outputs`. */
export function rewriteScenario(
  text: string,
  directives: readonly Directive[],
  outputs: readonly string[],
): string {
  const lines = text.split("\n");
  const rewritten: string[] = [];
  let copied = 0;
  for (const [index, directive] of directives.entries()) {
    rewritten.push(...lines.slice(copied, directive.expectedFrom));
    rewritten.push(...fenced(outputs[index] as string));
    copied = directive.expectedTo;
  }
  rewritten.push(...lines.slice(copied));
  return rewritten.join("\n");
}

function fenced(output: string): readonly string[] {
  const lines = output.replace(/\n$/, "").split("\n");
  if (!lines.includes("")) return lines;
  return [FENCE, ...lines, FENCE, FENCE];
}

function parseDirective(lines: readonly string[], start: number): Directive {
  const [command, ...rest] = splitWords(lines[start] as string);
  const fence = lines.indexOf(FENCE, start);
  if (fence === -1) throw new Error(`No ${FENCE} after line ${start + 1}`);
  const { expected, expectedTo } = parseExpected(lines, fence + 1);
  return {
    command: command as string,
    arguments: rest.map(parseArgument),
    input: lines.slice(start + 1, fence).join("\n"),
    expected,
    line: start + 1,
    expectedFrom: fence + 1,
    expectedTo,
  };
}

function parseExpected(
  lines: readonly string[],
  from: number,
): { readonly expected: string; readonly expectedTo: number } {
  const isDoubled = lines[from] === FENCE;
  let to = isDoubled ? from + 1 : from;
  const isEnd = isDoubled
    ? (at: number) => lines[at] === FENCE && lines[at + 1] === FENCE
    : (at: number) => lines[at] === "";
  while (to < lines.length && !isEnd(to)) to += 1;
  const body = lines.slice(isDoubled ? from + 1 : from, to);
  const expected = body.map((line) => `${line}\n`).join("");
  return { expected, expectedTo: isDoubled ? to + 2 : to };
}

/** Splits a line at white space outside of parentheses. */
function splitWords(line: string): readonly string[] {
  return line.match(/[^\s(]+(?:\([^)]*\))?/g) ?? [];
}

function parseArgument(word: string): Argument {
  const equals = word.indexOf("=");
  if (equals === -1) return { key: word, values: [] };
  const key = word.slice(0, equals);
  const value = word.slice(equals + 1);
  if (!value.startsWith("(")) return { key, values: [value] };
  const inner = value.slice(1, -1).trim();
  const values = inner === "" ? [] : inner.split(",").map((part) => part.trim());
  return { key, values };
}
