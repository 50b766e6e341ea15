/*
 * The characters of a pattern and their meaning. docs/cli.md, "Patterns", has the table. Every
 * character that is not listed there matches itself, a backslash too.
 */

/** One character of a name, as a Unicode code point, or a range of them. Both ends belong to it. */
interface CodePointRange {
  readonly first: number;
  readonly last: number;
}

/** A part of the pattern of one name. All kinds but `any-text` match exactly one character. */
export type NamePart =
  | { readonly kind: "character"; readonly codePoint: number }
  | { readonly kind: "any-character" }
  | { readonly kind: "any-text" }
  | {
      readonly kind: "class";
      readonly isNegated: boolean;
      readonly ranges: readonly CodePointRange[];
    };

/** A token outside of the structure of braces. `start` is the position of its first code point. */
export type FlatToken =
  | { readonly kind: "part"; readonly part: NamePart; readonly start: number }
  | { readonly kind: "slash"; readonly start: number };

/** One token of a pattern. */
export type PatternToken =
  | FlatToken
  | { readonly kind: "open" | "comma" | "close"; readonly start: number };

/** Returns the tokens of a pattern. Braces without a meaning are already plain characters. */
export function tokensOf(text: string): PatternToken[] {
  const characters = Array.from(text);
  const tokens: PatternToken[] = [];
  for (let start = 0; start < characters.length; ) {
    const classEnd = characters[start] === "[" ? endOfClass(characters, start) : null;
    if (classEnd === null) {
      tokens.push(tokenOf(characters[start] as string, start));
      start += 1;
    } else {
      tokens.push({ kind: "part", part: classOf(characters.slice(start + 1, classEnd)), start });
      start = classEnd + 1;
    }
  }
  return withPlainBraces(tokens);
}

function tokenOf(character: string, start: number): PatternToken {
  switch (character) {
    case "/":
      return { kind: "slash", start };
    case "{":
      return { kind: "open", start };
    case ",":
      return { kind: "comma", start };
    case "}":
      return { kind: "close", start };
    case "*":
      return { kind: "part", part: { kind: "any-text" }, start };
    case "?":
      return { kind: "part", part: { kind: "any-character" }, start };
    default:
      return plain(character, start);
  }
}

function plain(character: string, start: number): PatternToken {
  return {
    kind: "part",
    part: { kind: "character", codePoint: character.codePointAt(0) as number },
    start,
  };
}

/**
 * Returns the position of the `]` that ends the class at `start`; null if there is none in the
 * name. A `]` at the first position belongs to the class (POSIX, 2.13.1).
 */
function endOfClass(characters: readonly string[], start: number): number | null {
  let first = start + 1;
  if (isNegation(characters[first])) first += 1;
  for (let end = first + 1; end < characters.length && characters[end - 1] !== "/"; end += 1) {
    if (characters[end] === "]") return end;
  }
  return null;
}

const isNegation = (character: string | undefined): boolean =>
  character === "!" || character === "^";

/** Returns the class with this content, without its brackets. */
function classOf(content: readonly string[]): NamePart {
  const isNegated = isNegation(content[0]);
  const points = content.slice(isNegated ? 1 : 0).map((each) => each.codePointAt(0) as number);
  const ranges: CodePointRange[] = [];
  for (let position = 0; position < points.length; position += 1) {
    const first = points[position] as number;
    const last = points[position + 2];
    const isRange = content[position + (isNegated ? 2 : 1)] === "-" && last !== undefined;
    ranges.push({ first, last: isRange ? last : first });
    if (isRange) position += 2;
  }
  return { kind: "class", isNegated, ranges };
}

/**
 * Replaces braces and commas that form no list by plain characters: braces without a partner, braces
 * without a comma of their own, and commas outside of braces.
 */
function withPlainBraces(tokens: readonly PatternToken[]): PatternToken[] {
  const listed = new Set<PatternToken>();
  const open: PatternToken[][] = [];
  for (const token of tokens) {
    if (token.kind === "open") open.push([token]);
    else if (token.kind === "comma") open.at(-1)?.push(token);
    else if (token.kind === "close") {
      const list = open.pop() ?? [];
      if (list.length > 1) for (const each of [...list, token]) listed.add(each);
    }
  }
  const plainTexts = { open: "{", comma: ",", close: "}" } as const;
  return tokens.map((token) => {
    if (token.kind === "part" || token.kind === "slash" || listed.has(token)) return token;
    return plain(plainTexts[token.kind], token.start);
  });
}
