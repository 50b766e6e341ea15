import { displayName } from "../../../shared/base/path.ts";
import { bytesOfText } from "../argument-text.ts";
import type { OpenQuote } from "./shells.ts";

interface QuoteRules {
  /** Characters that do not mean themselves inside of the quote. */
  readonly special: RegExp;
  /** Those of them that a backslash does not quote there. */
  readonly isBackslashKept: RegExp;
}

const NEVER = /^(?!)/;
const QUOTES: Readonly<Record<OpenQuote, QuoteRules>> = {
  none: { special: /^[^A-Za-z0-9_@%+=:,./\x80-\u{10ffff}-]$/u, isBackslashKept: NEVER },
  single: { special: /^'$/, isBackslashKept: /^'$/ },
  // `!` is a history expansion in double quotes.
  double: { special: /^["$`\\!]$/, isBackslashKept: /^!$/ },
  dollar: { special: /^['\\!]$/, isBackslashKept: NEVER },
};

/** The text that ends each quote. */
export const CLOSING_QUOTE: Readonly<Record<OpenQuote, string>> = {
  none: "",
  single: "'",
  double: '"',
  dollar: "'",
};

/** The text that begins each quote. */
const OPENING_QUOTE: Readonly<Record<OpenQuote, string>> = {
  none: "",
  single: "'",
  double: '"',
  dollar: "$'",
};

/**
 * Returns the text that means `text` inside of the open quote, for bash and zsh. The same quote is
 * open after it. Control characters and bytes that are not UTF-8 become escapes, so that the line
 * stays one line and a terminal shows it.
 *
 * Each character is quoted by itself: the quoted form of a prefix is a prefix of the quoted form.
 */
export function quotedText(text: string, quote: OpenQuote): string {
  return Array.from(text, (character) => quotedCharacter(character, quote)).join("");
}

function quotedCharacter(character: string, quote: OpenQuote): string {
  const shown = displayName(bytesOfText(character));
  if (character !== "\\" && shown.startsWith("\\")) {
    return quote === "dollar" ? shown : outside(`$'${shown}'`, quote);
  }
  const { special, isBackslashKept } = QUOTES[quote];
  if (!special.test(character)) return character;
  if (quote === "dollar" && character === "!") return "\\x21";
  return isBackslashKept.test(character) ? outside(`\\${character}`, quote) : `\\${character}`;
}

/** Returns `text` between the end and a new beginning of the quote. */
function outside(text: string, quote: OpenQuote): string {
  return CLOSING_QUOTE[quote] + text + OPENING_QUOTE[quote];
}
