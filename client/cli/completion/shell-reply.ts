import type { Candidate } from "./candidate.ts";
import type { Completion } from "./candidates.ts";
import type { ShellLine } from "./shell-line.ts";
import { CLOSING_QUOTE, quotedText } from "./shell-quote.ts";
import type { OpenQuote, Shell } from "./shells.ts";

/**
 * The action of a completion script. It is the first record of a reply.
 *
 * - `files`, `directories`: complete paths of this machine
 * - `whole`: insert the only candidate and a space
 * - `partial`: insert the only candidate without a space
 * - `list`: insert the common prefix and show the candidates
 */
type ReplyKind = "files" | "directories" | "whole" | "partial" | "list";

/** The part of a line that a shell replaces by a candidate. */
export interface Replaced {
  readonly shell: Shell;
  readonly line: ShellLine & { readonly word: string };
  /** bash: the end of the line that is replaced. zsh: the quote before it. */
  readonly text: string;
}

/** Returns the records of the reply to a completion script; none if there is no candidate. */
export function replyRecords(completion: Completion, replaced: Replaced): string[] {
  if (completion.kind !== "candidates") return [completion.kind];
  const { candidates } = completion;
  const [first] = candidates;
  if (first === undefined) return [];
  const kind = kindOf(candidates, first);
  switch (replaced.shell) {
    case "bash":
      return [kind, ...bashTexts(candidates, replaced)];
    case "zsh":
      return [kind, ...zshTexts(candidates, replaced)];
    case "fish":
      // fish splits a line at a tab into a candidate and its description.
      return [kind, ...candidates.map(({ text }) => text).filter((text) => !text.includes("\t"))];
  }
}

function kindOf(candidates: readonly Candidate[], first: Candidate): ReplyKind {
  if (candidates.length > 1) return "list";
  return first.isPartial ? "partial" : "whole";
}

/**
 * Returns the texts that bash puts in the place of `replaced.text`: what was typed stays as it is, and
 * the rest is added in the quote that is open.
 */
function bashTexts(candidates: readonly Candidate[], { line, text }: Replaced): string[] {
  const { word, quote, endsWithBackslash } = line;
  const typed = endsWithBackslash ? text.slice(0, -1) : text;
  const textOf = (each: string): string => typed + quotedText(each.slice(word.length), quote);
  const [first] = candidates;
  if (first === undefined || candidates.length > 1) return listTexts(candidates, textOf);
  const inserted = textOf(first.text);
  if (!first.isPartial) return [inserted + CLOSING_QUOTE[quote]];
  // readline ends an open quote after the only candidate, and the path could not be continued.
  return quote === "none" ? [inserted] : [inserted, `${inserted}.`];
}

const ZSH_QUOTES: Readonly<Record<string, OpenQuote>> = {
  "'": "single",
  '"': "double",
  "$'": "dollar",
};

/** Returns the texts that zsh puts in the place of the whole word, after the quote that begins it. */
function zshTexts(candidates: readonly Candidate[], { text }: Replaced): string[] {
  const quote = ZSH_QUOTES[text] ?? "none";
  const textOf = (each: string): string => quotedText(each, quote);
  return listTexts(candidates, textOf);
}

/**
 * Returns the texts of candidates. Their longest common prefix is the text of the common prefix of
 * the candidates: an escape is never inserted in part.
 */
function listTexts(candidates: readonly Candidate[], textOf: (text: string) => string): string[] {
  const texts = candidates.map(({ text }) => textOf(text));
  if (texts.length < 2) return texts;
  const common = textOf(commonPrefix(candidates.map(({ text }) => text)));
  return commonPrefix(texts) === common ? texts : [common, ...texts];
}

function commonPrefix(texts: readonly string[]): string {
  const [first = "", ...others] = texts.map((text) => Array.from(text));
  const end = Array.from(first).findIndex((character, position) =>
    others.some((other) => other[position] !== character),
  );
  return (end < 0 ? [...first] : [...first].slice(0, end)).join("");
}
