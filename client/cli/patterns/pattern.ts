import { AshlarError } from "../../../shared/base/errors.ts";
import { type FlatToken, type NamePart, tokensOf } from "./tokens.ts";

/** Characters of a pattern. */
export const PATTERN_LENGTH_MAX = 4096;
/** Patterns without braces that a pattern with braces is expanded to. */
export const PATTERN_ALTERNATIVES_MAX = 1024;
/** Sum of the lengths of these patterns. Bounds the work of a match. */
const PATTERN_SIZE_MAX = 64 * 1024;

/** The pattern of one name; `any-depth` is `**`, which matches any number of names. */
export type NamePattern = "any-depth" | readonly NamePart[];

/** A pattern without braces: one pattern for each name of a path. */
export interface PathPattern {
  readonly names: readonly NamePattern[];
  /** The pattern ends with a slash: only directories match. */
  readonly isDirectory: boolean;
}

const WILDCARDS = /[*?[{]/;

/** Returns whether `text` has a character that can be special in a pattern. */
export function hasWildcards(text: string): boolean {
  return WILDCARDS.test(text);
}

/**
 * Parses a pattern: expands its braces and returns the patterns without braces. Empty names are
 * skipped.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if the pattern is too long, if its braces are expanded to
 *   too many patterns, or if it has a name `.` or `..`, which no entry has
 */
export function parsePattern(text: string): PathPattern[] {
  return expand(parseNodes(text), text).map((nodes) => toPathPattern(nodes, text));
}

/**
 * Returns the names of a pattern as they were typed. A slash inside of braces does not end a name.
 * Empty names and `.` are skipped.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if the pattern is too long
 */
export function typedNames(text: string): string[] {
  const characters = Array.from(text);
  const cuts = parseNodes(text).flatMap((node) => (node.kind === "slash" ? node.start : []));
  return [...cuts, characters.length]
    .map((end, position) => characters.slice((cuts[position - 1] ?? -1) + 1, end).join(""))
    .filter((name) => name !== "" && name !== ".");
}

/** Returns the text of a name pattern without wildcards; null for any other. */
export function plainNameOf(name: NamePattern): string | null {
  if (name === "any-depth") return null;
  let text = "";
  for (const part of name) {
    if (part.kind !== "character") return null;
    text += String.fromCodePoint(part.codePoint);
  }
  return text;
}

/** A token, or a list in braces. */
type PatternNode =
  | FlatToken
  | { readonly kind: "list"; readonly alternatives: ReadonlyArray<readonly PatternNode[]> };

function parseNodes(text: string): PatternNode[] {
  if (text.length > PATTERN_LENGTH_MAX) {
    throw invalidPattern(
      text,
      `at most ${PATTERN_LENGTH_MAX} characters: current length is ${text.length}`,
    );
  }
  const tokens = tokensOf(text);
  // The innermost open list is last. The first element is the pattern itself.
  const open: PatternNode[][][] = [[[]]];
  for (const token of tokens) {
    const alternatives = open.at(-1) as PatternNode[][];
    switch (token.kind) {
      case "open":
        open.push([[]]);
        break;
      case "comma":
        alternatives.push([]);
        break;
      case "close":
        open.pop();
        open.at(-1)?.at(-1)?.push({ kind: "list", alternatives });
        break;
      default:
        alternatives.at(-1)?.push(token);
    }
  }
  return open[0]?.[0] ?? [];
}

/** Number of patterns without braces, and the sum of their lengths. */
interface Extent {
  readonly count: number;
  readonly size: number;
}

function expand(nodes: readonly PatternNode[], text: string): FlatToken[][] {
  const { count, size } = extentOf(nodes);
  if (count > PATTERN_ALTERNATIVES_MAX || size > PATTERN_SIZE_MAX) {
    throw invalidPattern(
      text,
      `at most ${PATTERN_ALTERNATIVES_MAX} patterns with ${PATTERN_SIZE_MAX} characters after the expansion of braces: current value has ${count} with ${size}`,
    );
  }
  return sequences(nodes);
}

function extentOf(nodes: readonly PatternNode[]): Extent {
  let total: Extent = { count: 1, size: 0 };
  for (const node of nodes) {
    const next = node.kind === "list" ? extentOfList(node.alternatives) : { count: 1, size: 1 };
    total = {
      count: total.count * next.count,
      size: total.size * next.count + next.size * total.count,
    };
  }
  return total;
}

function extentOfList(alternatives: ReadonlyArray<readonly PatternNode[]>): Extent {
  let total: Extent = { count: 0, size: 0 };
  for (const { count, size } of alternatives.map(extentOf)) {
    total = { count: total.count + count, size: total.size + size };
  }
  return total;
}

/** Returns every sequence of tokens that results from one alternative for each list. */
function sequences(nodes: readonly PatternNode[]): FlatToken[][] {
  let found: FlatToken[][] = [[]];
  for (const node of nodes) {
    if (node.kind !== "list") {
      for (const sequence of found) sequence.push(node);
      continue;
    }
    const endings = node.alternatives.flatMap(sequences);
    found = found.flatMap((start) => endings.map((end) => [...start, ...end]));
  }
  return found;
}

function toPathPattern(nodes: readonly FlatToken[], pattern: string): PathPattern {
  const names: NamePattern[] = [];
  let parts: NamePart[] = [];
  const endName = (): void => {
    const text = plainNameOf(parts);
    if (text === "." || text === "..") throw invalidPattern(pattern, `no name "${text}"`);
    if (text !== "") names.push(isAnyDepth(parts) ? "any-depth" : parts);
    parts = [];
  };
  for (const node of nodes) {
    if (node.kind === "slash") endName();
    else parts.push(node.part);
  }
  endName();
  return { names, isDirectory: nodes.at(-1)?.kind === "slash" };
}

function isAnyDepth(parts: readonly NamePart[]): boolean {
  return parts.length === 2 && parts.every((part) => part.kind === "any-text");
}

function invalidPattern(text: string, expected: string): AshlarError {
  const excerpt = text.length > 100 ? `${text.slice(0, 100)}…` : text;
  return new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use the pattern ${excerpt}: expected ${expected}`,
    { hint: "--no-glob turns patterns off" },
  );
}
