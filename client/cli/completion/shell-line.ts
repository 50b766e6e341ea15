import { bytesOfText, textOfBytes } from "../argument-text.ts";
import { expansionAt, literalEscape, readEscape } from "./shell-escapes.ts";
import type { OpenQuote, Shell } from "./shells.ts";

/**
 * A word as a program receives it, in the form of `textOfBytes`. Null if only the shell knows it: the
 * word contains a variable, a command, or a pattern that the shell expands.
 */
export type ShellWord = string | null;

/** A command line up to the cursor. */
export interface ShellLine {
  /** The words before the word at the cursor, without redirections. The first is the command. */
  readonly words: readonly ShellWord[];
  /** The beginning of the word at the cursor. */
  readonly word: ShellWord;
  readonly quote: OpenQuote;
  /** The line ends with a backslash that quotes the next character. It is no part of `word`. */
  readonly endsWithBackslash: boolean;
  /** The word is the file of a redirection. */
  readonly isRedirection: boolean;
}

/** Characters that end a command, and so the line that can be completed. */
const CONTROL = /[|&;()\n]/;
const BLANK = /[ \t]/;
/** Characters of patterns and braces, which the shell expands if they are not quoted. */
const EXPANDED = /[*?[{]/;

/**
 * Parses the beginning of one simple command as the shell reads it. The line ends at the cursor, and
 * quotes can be open there.
 *
 * @returns null if the line is not one simple command
 */
export function parseShellLine(line: string, shell: Shell): ShellLine | null {
  return new LineParser(line, shell).parse();
}

class LineParser {
  readonly #line: string;
  readonly #isFish: boolean;
  #position = 0;
  readonly #words: ShellWord[] = [];
  #text = "";
  #isOpaque = false;
  /** A word has begun. It can be empty, as `""` is. */
  #isInWord = false;
  #isRedirection = false;
  #quote: OpenQuote = "none";
  #endsWithBackslash = false;

  constructor(line: string, shell: Shell) {
    this.#line = line;
    this.#isFish = shell === "fish";
  }

  parse(): ShellLine | null {
    while (this.#position < this.#line.length) {
      const isUnderstood = this.#quote === "none" ? this.#readPlain() : this.#readQuoted();
      if (!isUnderstood) return null;
    }
    return {
      words: this.#words,
      word: this.#wordText(),
      quote: this.#quote,
      endsWithBackslash: this.#endsWithBackslash,
      isRedirection: this.#isRedirection,
    };
  }

  /** Reads a character outside of quotes. @returns false if the line is no simple command */
  #readPlain(): boolean {
    const character = this.#line[this.#position] as string;
    if (BLANK.test(character)) {
      this.#endWord();
      this.#position += 1;
      return true;
    }
    if (this.#isRedirectionOperator()) return this.#readRedirection();
    if (CONTROL.test(character)) return false;
    if (character === "#" && !this.#isInWord) return false;
    const isFirst = !this.#isInWord;
    this.#isInWord = true;
    if (character === "\\") return this.#readBackslash();
    const opened = this.#quoteAt();
    if (opened !== null) {
      this.#quote = opened.quote;
      this.#position += opened.length;
      return true;
    }
    if (EXPANDED.test(character) || (isFirst && character === "~")) this.#isOpaque = true;
    return this.#readText();
  }

  /** Reads a character inside of quotes. @returns false if it begins an unfinished command */
  #readQuoted(): boolean {
    const character = this.#line[this.#position] as string;
    const isEnd = character === (this.#quote === "double" ? '"' : "'");
    if (isEnd) {
      this.#quote = "none";
      this.#position += 1;
      return true;
    }
    if (character === "\\" && (this.#quote !== "single" || this.#isFish)) {
      return this.#readBackslash();
    }
    if (this.#quote === "double") return this.#readText();
    this.#append(character);
    return true;
  }

  /** Reads a character, or an expansion whose value is not known. */
  #readText(): boolean {
    const isPlain = this.#isFish && this.#line[this.#position] === "`";
    const length = isPlain ? 0 : expansionAt(this.#line, this.#position);
    if (length === null) return false;
    if (length === 0) this.#append(this.#line[this.#position] as string);
    else {
      this.#isOpaque = true;
      this.#position += length;
    }
    return true;
  }

  #readBackslash(): boolean {
    const next = this.#line[this.#position + 1];
    if (next === undefined) {
      this.#endsWithBackslash = true;
      this.#position += 1;
      return true;
    }
    const hasCodes = this.#quote === "dollar" || (this.#isFish && this.#quote === "none");
    const found = hasCodes
      ? readEscape(this.#line, this.#position)
      : literalEscape(next, { quote: this.#quote, isFish: this.#isFish });
    this.#text += found.text;
    this.#position += found.length;
    return true;
  }

  #append(character: string): void {
    this.#text += character;
    this.#position += 1;
  }

  /** Returns the quote that begins here. */
  #quoteAt(): { readonly quote: OpenQuote; readonly length: number } | null {
    const start = this.#line.slice(this.#position, this.#position + 2);
    if (start.startsWith("'")) return { quote: "single", length: 1 };
    if (start.startsWith('"')) return { quote: "double", length: 1 };
    if (this.#isFish) return null;
    if (start === "$'") return { quote: "dollar", length: 2 };
    return start === '$"' ? { quote: "double", length: 2 } : null;
  }

  #isRedirectionOperator(): boolean {
    return /^(?:[<>]|&>)/.test(this.#line.slice(this.#position, this.#position + 2));
  }

  #readRedirection(): boolean {
    // The number of a descriptor is no word: `2> file`.
    if (this.#isInWord && /^\d+$/.test(this.#text)) this.#dropWord();
    this.#endWord();
    const operator = /^&?[<>]+[&|!?]?/.exec(this.#line.slice(this.#position))?.[0] ?? "";
    this.#position += operator.length;
    this.#isRedirection = true;
    return this.#line[this.#position] !== "("; // The substitution of a process.
  }

  #endWord(): void {
    if (!this.#isInWord) return;
    if (!this.#isRedirection) this.#words.push(this.#wordText());
    this.#isRedirection = false;
    this.#dropWord();
  }

  #dropWord(): void {
    this.#text = "";
    this.#isOpaque = false;
    this.#isInWord = false;
  }

  /** Escapes give single bytes. Together they can be characters of UTF-8. */
  #wordText(): ShellWord {
    return this.#isOpaque ? null : textOfBytes(bytesOfText(this.#text));
  }
}
