import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import { textOfBytes } from "../../../../client/cli/argument-text.ts";
import { parseShellLine, type ShellWord } from "../../../../client/cli/completion/shell-line.ts";
import { CLOSING_QUOTE, quotedText } from "../../../../client/cli/completion/shell-quote.ts";
import type { OpenQuote } from "../../../../client/cli/completion/shells.ts";

const OPENING_QUOTE: Readonly<Record<OpenQuote, string>> = {
  none: "",
  single: "'",
  double: '"',
  dollar: "$'",
};
const QUOTES: readonly OpenQuote[] = ["none", "single", "double", "dollar"];

/** Names of one byte, names with a byte between others, and names that shells are known to change. */
const NAMES: readonly string[] = [
  ...Array.from({ length: 255 }, (_, index) => textOfBytes(Buffer.of(index + 1))),
  ...Array.from({ length: 255 }, (_, index) => `a${textOfBytes(Buffer.of(index + 1))}1`),
  "it's $(touch x) `y` \\n \\\\ !z !!",
  "line\nend\n",
  "ü\u2028\u202e😀",
  "{a,b}*?[c]~#=",
  textOfBytes(Buffer.from([0xff, 0xfe, 0x41, 0xc3])),
];

function isInstalled(shell: string): boolean {
  return spawnSync(shell, ["-c", "true"]).error === undefined;
}

/** Returns the arguments that a shell reads in `words`, in the form of `textOfBytes`. */
function readBy(shell: string, words: readonly string[]): string[] {
  const noConfig = { bash: "--norc", zsh: "-f", fish: "--no-config" }[shell] ?? "";
  const script = `printf '%s\\0' ${words.join(" ")}`;
  const { stdout, stderr, status } = spawnSync(shell, [noConfig, "-c", script]);
  assert.deepEqual([status, stderr.toString()], [0, ""]);
  const parts: string[] = [];
  for (let start = 0; start < stdout.length; ) {
    const end = stdout.indexOf(0, start);
    parts.push(textOfBytes(stdout.subarray(start, end)));
    start = end + 1;
  }
  return parts;
}

describe("a quoted text in a line of a shell", () => {
  const words = QUOTES.flatMap((quote) =>
    NAMES.map((name) => `${OPENING_QUOTE[quote]}/d/${quotedText(name, quote)}`),
  );
  const closed = words.map(
    (word, index) => word + CLOSING_QUOTE[QUOTES[Math.floor(index / NAMES.length)] ?? "none"],
  );
  const expected = QUOTES.flatMap(() => NAMES.map((name) => `/d/${name}`));

  for (const shell of ["bash", "zsh"]) {
    const skip = isInstalled(shell) ? false : `${shell} is not installed`;
    it(`is read by ${shell} as the text, in every quote and for every byte`, { skip }, () => {
      assert.deepEqual(readBy(shell, closed), expected);
    });
  }

  it("is parsed as the text, with the same quote open", () => {
    for (const [index, word] of words.entries()) {
      const line = parseShellLine(`ashlar ls ${word}`, "bash");
      const quote = QUOTES[Math.floor(index / NAMES.length)];
      assert.deepEqual([line?.word, line?.quote], [expected[index], quote], word);
      assert.doesNotMatch(word, /\n/);
    }
  });

  it("has the quoted text of each of its beginnings as a beginning", () => {
    for (const quote of QUOTES) {
      for (const name of NAMES) {
        const characters = Array.from(name);
        for (const end of characters.keys()) {
          const beginning = characters.slice(0, end).join("");
          assert.ok(quotedText(name, quote).startsWith(quotedText(beginning, quote)));
        }
      }
    }
  });
});

describe("the line of a shell", () => {
  const COMMON = [
    "a  b\tc",
    "'a b' \"c d\" e\\ f",
    "a'b'\"c\"d",
    "'' \"\" ''",
    `"a\\"b\\$c\\\\d\\e"`,
    "a#b a=b a:b a@b ^ % a~b",
    "é 'ü' \"😀\"",
    "\\' \\\" \\\\ \\$ \\* \\~",
    "--newer=/a/b -1 --",
  ];
  // The words are compared with those that the shell itself passes to a command.
  const POSIX = [
    ...COMMON,
    "$'a\\nb' $'\\x41\\101\\u00e4\\'x\\\\' $'\\xc3\\xa4\\xff'",
    "'a'$'b'\"c\"",
    "a$ b$'' \"$\"",
    '"a\\!b"',
    "'a\\' 'b'",
  ];
  const FISH = [...COMMON, "'a\\'b\\\\c\\d'", "\\x41\\xc3\\xa4 a\\nb \\u00e4\\cA", '"a`b"'];
  const LINES: ReadonlyArray<readonly ["bash" | "zsh" | "fish", readonly string[]]> = [
    ["bash", [...POSIX, "$'\\cA'"]],
    ["zsh", POSIX],
    ["fish", FISH],
  ];
  for (const [shell, lines] of LINES) {
    const skip = isInstalled(shell) ? false : `${shell} is not installed`;
    it(`has the words that ${shell} reads`, { skip }, () => {
      // One process reads all lines.
      const end = "-END-";
      const read = readBy(
        shell,
        lines.flatMap((line) => [line, end]),
      );
      const parsed = lines.flatMap((line) => [
        ...(parseShellLine(`${line} `, shell)?.words ?? []),
        end,
      ]);
      assert.deepEqual(parsed, read);
    });
  }

  it("ends with an unfinished word", () => {
    const ends: ReadonlyArray<readonly [string, ShellWord, OpenQuote, boolean]> = [
      ["a ", "", "none", false],
      ["a /b", "/b", "none", false],
      ['a "/b c', "/b c", "double", false],
      ["a '/b c", "/b c", "single", false],
      ["a $'/b\\'c", "/b'c", "dollar", false],
      ["a /b\\", "/b", "none", true],
      ['a "/b\\', "/b", "double", true],
      ['a "x"\'/b', "x/b", "single", false],
    ];
    for (const [text, word, quote, endsWithBackslash] of ends) {
      const line = parseShellLine(text, "bash");
      assert.deepEqual(
        [line?.words, line?.word, line?.quote, line?.endsWithBackslash],
        [["a"], word, quote, endsWithBackslash],
        text,
      );
    }
  });

  it("has no value for a word that only the shell can expand", () => {
    for (const word of [
      "$a",
      "$" + "{a}/b",
      "$(b c)/d",
      "`b c`",
      '"$a"',
      "/a*",
      "/a?",
      "/[a",
      "{a,b}",
      "~/a",
    ]) {
      const line = parseShellLine(`x ${word}`, "bash");
      assert.deepEqual([line?.words, line?.word], [["x"], null], word);
      assert.equal(parseShellLine(`x ${word} y`, "bash")?.words[1], null, word);
    }
  });

  it("has no words for redirections", () => {
    const line = parseShellLine("a b >c 2> d e <f &>g ", "bash");
    assert.deepEqual([line?.words, line?.isRedirection], [["a", "b", "e"], false]);
    assert.equal(parseShellLine("a b > /c", "bash")?.isRedirection, true);
  });

  it("is refused if it is not one command", () => {
    for (const text of ["a | b", "a; b", "a && b", "a (b", "a $(b c", "a `b c", "a\nb", "a # b"]) {
      assert.equal(parseShellLine(text, "bash"), null, text);
    }
  });
});
