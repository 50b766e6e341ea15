/** A piece of a source file that a person reads, or that names something. */
export interface SourcePiece {
  readonly kind: "comment" | "string" | "code";
  readonly text: string;
  /** The first line of the piece, from 1. */
  readonly line: number;
}

/** Code before a slash that begins a regular expression and is not a division. */
const BEFORE_REGEX = /(?:^|[=(,:;!&|?{}[+\-*%~^<>]|=>|\b(?:return|typeof|case|in|of|void))\s*$/;

/**
 * Cuts TypeScript into comments, string and template texts, and code. Code in a template's
 * placeholder belongs to the text of the template.
 *
 * It is a scanner for linting, not a parser: it relies on sources that Biome has formatted.
 */
export function splitSource(source: string): SourcePiece[] {
  const pieces: SourcePiece[] = [];
  let code = "";
  let codeStart = 0;
  let position = 0;
  let line = 1;
  const lineAt = (from: number, to: number): number =>
    source.slice(from, to).split("\n").length - 1;
  const add = (kind: SourcePiece["kind"], start: number, end: number): void => {
    if (code.trim() !== "") pieces.push({ kind: "code", text: code, line: codeStart });
    code = "";
    pieces.push({ kind, text: source.slice(start, end), line });
    line += lineAt(start, end);
    position = end;
    codeStart = line;
  };
  codeStart = line;
  while (position < source.length) {
    const end = pieceEnd(source, position, code);
    if (end === null) {
      const character = source[position] as string;
      if (code === "") codeStart = line;
      code += character;
      if (character === "\n") line += 1;
      position += 1;
    } else if (end.kind === "code") {
      code += " ";
      line += lineAt(position, end.position);
      position = end.position;
    } else {
      add(end.kind, position, end.position);
    }
  }
  if (code.trim() !== "") pieces.push({ kind: "code", text: code, line: codeStart });
  return pieces;
}

/**
 * Returns the end of the comment, string, template or regular expression at `start`. Null if other
 * code is there.
 */
function pieceEnd(
  source: string,
  start: number,
  codeBefore: string,
): { readonly kind: SourcePiece["kind"]; readonly position: number } | null {
  const two = source.slice(start, start + 2);
  if (two === "//") return { kind: "comment", position: indexOrEnd(source, "\n", start) };
  if (two === "/*") return { kind: "comment", position: indexOrEnd(source, "*/", start + 2) + 2 };
  const character = source[start];
  if (character === '"' || character === "'") {
    return { kind: "string", position: quotedEnd(source, start, character) };
  }
  if (character === "`") return { kind: "string", position: templateEnd(source, start) };
  if (character === "/" && BEFORE_REGEX.test(codeBefore.slice(-20))) {
    return { kind: "code", position: regexEnd(source, start) };
  }
  return null;
}

function indexOrEnd(source: string, text: string, from: number): number {
  const found = source.indexOf(text, from);
  return found < 0 ? source.length : found;
}

function quotedEnd(source: string, start: number, quote: string): number {
  let position = start + 1;
  while (position < source.length && source[position] !== quote) {
    position += source[position] === "\\" ? 2 : 1;
  }
  return position + 1;
}

function templateEnd(source: string, start: number): number {
  let position = start + 1;
  while (position < source.length && source[position] !== "`") {
    if (source[position] === "\\") position += 2;
    else if (source.startsWith("${", position)) position = placeholderEnd(source, position + 2);
    else position += 1;
  }
  return position + 1;
}

/**
 * Returns the position after the closing brace. `start` is the position after the opening brace.
 */
function placeholderEnd(source: string, start: number): number {
  let depth = 1;
  let position = start;
  while (position < source.length && depth > 0) {
    const character = source[position];
    if (character === '"' || character === "'") position = quotedEnd(source, position, character);
    else if (character === "`") position = templateEnd(source, position);
    else {
      if (character === "{") depth += 1;
      if (character === "}") depth -= 1;
      position += 1;
    }
  }
  return position;
}

function regexEnd(source: string, start: number): number {
  let isInClass = false;
  let position = start + 1;
  while (position < source.length && (isInClass || source[position] !== "/")) {
    if (source[position] === "\n") return start + 1;
    if (source[position] === "\\") position += 1;
    else if (source[position] === "[") isInClass = true;
    else if (source[position] === "]") isInClass = false;
    position += 1;
  }
  return position + 1;
}
