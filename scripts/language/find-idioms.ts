import {
  BANNED_IDENTIFIER_WORDS,
  BANNED_IDIOMS,
  BANNED_TYPE_ENDINGS,
  SEED_TEXTS,
  WIRE_NAMES,
} from "./banned-idioms.ts";
import { splitSource } from "./source-text.ts";

/** One use of a banned idiom, identifier word or type ending. */
export interface IdiomFinding {
  readonly line: number;
  /** The words as they are written. */
  readonly found: string;
  readonly replacement: string;
}

const IDIOMS = BANNED_IDIOMS.map(({ pattern, replacement }) => {
  const isSentenceStart = pattern.startsWith("(?<=");
  const expression = isSentenceStart
    ? new RegExp(`(?:${pattern})\\b`, "g")
    : new RegExp(`\\b(?:${pattern})\\b`, "gi");
  return { expression, replacement };
});
const TYPE_ENDING = new RegExp(
  `\\b(?:class|interface|type)\\s+\\w*(?:${BANNED_TYPE_ENDINGS.join("|")})\\b`,
  "g",
);

/** @returns the findings in a TypeScript or JavaScript file: comments, texts and identifiers */
export function findInSource(source: string): IdiomFinding[] {
  return splitSource(source).flatMap(({ kind, text, line }) => {
    if (kind === "code") return findInCode(text, line);
    // A string without a space is a key, a path or a word of a protocol, not prose.
    if (kind === "string" && (!text.includes(" ") || SEED_TEXTS.has(text.slice(1, -1)))) return [];
    return findInLines(text, line);
  });
}

/** @returns the findings in a Markdown page. Fenced code is passed over. */
export function findInMarkdown(page: string): IdiomFinding[] {
  let isInFence = false;
  return page.split("\n").flatMap((text, index) => {
    if (/^\s*```/.test(text)) isInFence = !isInFence;
    return isInFence ? [] : findInProse(text, index + 1);
  });
}

function findInLines(text: string, firstLine: number): IdiomFinding[] {
  return text.split("\n").flatMap((each, index) => {
    const prose = each.replace(/^\s*(?:\/?\*+\/?|\/\/|["'`])\s?/, "");
    return findInProse(prose, firstLine + index);
  });
}

function findInProse(prose: string, line: number): IdiomFinding[] {
  return IDIOMS.flatMap(({ expression, replacement }) =>
    [...prose.matchAll(expression)].map(([found]) => ({ line, found, replacement })),
  );
}

function findInCode(code: string, firstLine: number): IdiomFinding[] {
  const lineOf = (index: number): number => firstLine + code.slice(0, index).split("\n").length - 1;
  const endings = [...code.matchAll(TYPE_ENDING)].map((match) => ({
    line: lineOf(match.index),
    found: match[0],
    replacement: "an Env or a name that ends in Deps",
  }));
  const identifiers = [...code.matchAll(/[A-Za-z_$][\w$]*/g)];
  const words = identifiers
    .filter(([identifier]) => !WIRE_NAMES.has(identifier))
    .flatMap((match) =>
      wordsOf(match[0])
        .filter((word) => BANNED_IDENTIFIER_WORDS.has(word))
        .map((word) => ({
          line: lineOf(match.index),
          found: match[0],
          replacement: BANNED_IDENTIFIER_WORDS.get(word) as string,
        })),
    );
  return [...endings, ...words];
}

/** `peerGreetingMs` → `peer`, `greeting`, `ms`. */
function wordsOf(identifier: string): string[] {
  return identifier
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .split(/[\s_$]+/)
    .map((word) => word.toLowerCase());
}
