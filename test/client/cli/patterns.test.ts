import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import fc from "fast-check";
import { textOfBytes } from "../../../client/cli/argument-text.ts";
import { nameFilter } from "../../../client/cli/name-filter.ts";
import { matchesPath } from "../../../client/cli/patterns/match.ts";
import {
  PATTERN_ALTERNATIVES_MAX,
  PATTERN_LENGTH_MAX,
  parsePattern,
} from "../../../client/cli/patterns/pattern.ts";
import { ROOT_URL } from "../../support/repository.ts";
import { matchesByTable } from "./pattern-reference.ts";

const refused = { code: "INVALID_ARGUMENT" };

const matches = (pattern: string, path: string): boolean =>
  matchesPath(parsePattern(pattern), path.split("/"), "file");

describe("patterns", () => {
  const ASCII = Array.from({ length: 95 }, (_, index) => String.fromCharCode(0x20 + index));
  const NAME_CHARACTERS = [
    "a",
    "b",
    "-",
    "😀",
    "ü",
    "\udcff",
    "\n",
    ...ASCII.filter((c) => c !== "/"),
  ];

  it("match what the table says, for any pattern and path", () => {
    const special = ["*", "**", "?", "[", "]", "[!", "[^", "a-c", "{", "}", ",", "/", "/**/", "\\"];
    const part = fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(...special) },
      { weight: 2, arbitrary: fc.constantFrom("a", "b", "c", "x", "😀", "\udcff") },
      { weight: 1, arbitrary: fc.constantFrom(...ASCII.filter((c) => c !== ".")) },
    );
    const pattern = fc.array(part, { maxLength: 10 }).map((parts) => parts.join(""));
    const name = fc
      .array(fc.constantFrom("a", "b", "c", "[", "]", "{", ",", "}", "😀", "\udcff"), {
        minLength: 1,
        maxLength: 4,
      })
      .map((characters) => characters.join(""));
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join("/"));
    fc.assert(
      fc.property(pattern, path, (text, given) => {
        assert.equal(matches(text, given), matchesByTable(text, given));
        // The pattern itself as a path: characters that are not special match themselves.
        const itself = text.replace(/\/+/g, "/").replace(/^\/|\/$/g, "");
        if (itself !== "") assert.equal(matches(text, itself), matchesByTable(text, itself));
      }),
      { numRuns: 3_000 },
    );
  });

  it("take every other character as itself, alone and in a class", () => {
    for (const character of NAME_CHARACTERS) {
      if ("*?".includes(character) || character === ".") continue;
      const same = NAME_CHARACTERS.filter((other) => matches(character, other));
      assert.deepEqual(new Set(same), new Set([character]), `pattern ${character}`);
    }
    for (const character of NAME_CHARACTERS) {
      if ("!^".includes(character)) continue;
      const same = NAME_CHARACTERS.filter((other) => matches(`[${character}]`, other));
      assert.deepEqual(new Set(same), new Set([character]), `class of ${character}`);
    }
  });

  it("have the meanings of the examples in docs/cli.md", async () => {
    const page = await readFile(new URL("docs/cli.md", ROOT_URL), "utf8");
    const section = page.slice(page.indexOf("## Patterns"), page.indexOf("## Replacing"));
    const rows = [...section.matchAll(/^\| `(.+?)` \| .* \| (`.+`) \| (`.+`) \|$/gm)];
    assert.ok(rows.length >= 9, `${rows.length} rows`);
    const names = (cell: string): string[] =>
      [...cell.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);
    for (const [, pattern = "", yes = "", no = ""] of rows) {
      const text = pattern.replaceAll("\\|", "|");
      for (const name of names(yes)) assert.equal(matches(text, name), true, `${text} ${name}`);
      for (const name of names(no)) assert.equal(matches(text, name), false, `${text} ${name}`);
    }
  });

  it("count one character of UTF-8, or one byte that is not UTF-8", () => {
    for (const name of ["a", "ü", "€", "😀"]) assert.equal(matches("?", name), true, name);
    for (const byte of [0x80, 0xc3, 0xff]) {
      assert.equal(matches("?", textOfBytes(Uint8Array.of(byte))), true);
      assert.equal(matches("?", textOfBytes(Uint8Array.of(byte, byte))), false);
    }
  });

  it("need little time for many stars", () => {
    const patterns = parsePattern(`${"*a".repeat(10)}b`);
    const names = ["a".repeat(255)];
    const startMs = performance.now();
    for (let count = 0; count < 200; count += 1) {
      assert.equal(matchesPath(patterns, names, "file"), false);
    }
    assert.ok(performance.now() - startMs < 2_000, "at most 10 ms each on a busy machine");
  });

  it("have a bound of length and of alternatives", () => {
    assert.throws(() => parsePattern(`${"a".repeat(PATTERN_LENGTH_MAX)}*`), refused);
    assert.equal(parsePattern("{a,b}".repeat(10)).length, PATTERN_ALTERNATIVES_MAX);
    assert.throws(() => parsePattern("{a,b}".repeat(11)), refused);
    assert.throws(() => parsePattern(`${"{a,b}".repeat(10)}${"x".repeat(200)}`), refused);
    assert.throws(() => parsePattern("{a,b}".repeat(800)), refused);
    assert.equal(parsePattern("{".repeat(PATTERN_LENGTH_MAX)).length, 1);
    assert.equal(parsePattern("[".repeat(PATTERN_LENGTH_MAX)).length, 1);
  });

  it("cannot contain the names of this directory and its parent", () => {
    for (const text of ["/a/{.,b}", "/a/{..,b}/*", "/*/../b"]) {
      assert.throws(() => parsePattern(text), refused, text);
    }
  });
});

describe("--include and --exclude", () => {
  const passes = (options: Record<string, string>, name: string): boolean =>
    nameFilter(options)(Buffer.from(name));

  it("match the name, or the path if the pattern has a slash", () => {
    assert.equal(passes({ include: "*.ts" }, "a/b.ts"), true);
    assert.equal(passes({ include: "*.ts", exclude: "b*" }, "a/b.ts"), false);
    assert.equal(passes({ exclude: "a/**" }, "a/x/b.ts"), false);
    assert.equal(passes({ exclude: "/a/*" }, "a/b.ts"), false);
    assert.equal(passes({ include: "*" }, ".hidden\nname"), true);
  });

  it("use the same patterns as arguments", () => {
    assert.equal(passes({ exclude: "[!k]*" }, "keep"), true);
    assert.equal(passes({ exclude: "[!k]*" }, "other"), false);
    assert.equal(passes({ include: "a|b*" }, "a"), false);
    assert.equal(passes({ include: '"a"' }, "a"), false);
    assert.equal(passes({ include: "* (1).jpg" }, "photo 1.jpg"), false);
    assert.equal(passes({ include: "?" }, "😀"), true);
    assert.equal(passes({ include: "!a" }, "b"), false);
  });

  it("refuse a pattern that no file can match", () => {
    for (const pattern of ["", "build/"]) {
      assert.throws(() => nameFilter({ exclude: pattern }), refused, pattern);
    }
  });
});
