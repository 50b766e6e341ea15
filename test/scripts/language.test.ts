import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  BANNED_IDENTIFIER_WORDS,
  BANNED_TYPE_ENDINGS,
} from "../../scripts/language/banned-idioms.ts";
import { findInMarkdown, findInSource } from "../../scripts/language/find-idioms.ts";
import { splitSource } from "../../scripts/language/source-text.ts";

const found = (source: string): string[] => findInSource(source).map((finding) => finding.found);

describe("the language lint", () => {
  it("finds an idiom in a line comment, a block comment and a doc comment, with its line", () => {
    const source = [
      "// Nobody waits for it.",
      "const a = 1; // It goes on.",
      "/**",
      " * The copy is rotten.",
      " */",
      "const b = 2;",
    ].join("\n");
    assert.deepEqual(
      findInSource(source).map(({ line, found }) => [line, found]),
      [
        [1, "Nobody"],
        [2, "goes on"],
        [4, "rotten"],
      ],
    );
  });

  it("finds an idiom in messages, test names and template texts", () => {
    assert.deepEqual(found('it("goes on after a crash", () => {});'), ["goes on"]);
    assert.deepEqual(found("throw new Error(`the copy is rotten`);"), ["rotten"]);
  });

  it("passes over keys, paths and words of protocols", () => {
    assert.deepEqual(found('const kind = "go-on";\nconst path = "rotten/rows";'), []);
  });

  it("finds banned words inside identifiers and banned endings of type names", () => {
    for (const word of BANNED_IDENTIFIER_WORDS.keys()) {
      const identifier = `peer${word[0]?.toUpperCase()}${word.slice(1)}Ms`;
      assert.deepEqual(found(`const ${identifier} = 1;`), [identifier]);
    }
    for (const ending of BANNED_TYPE_ENDINGS) {
      assert.deepEqual(found(`interface Store${ending} {}`), [`interface Store${ending}`]);
    }
  });

  it("finds an inverted sentence only where a sentence begins", () => {
    assert.deepEqual(found("// What is stored is synced."), ["What is"]);
    assert.deepEqual(found("// Synced. What is stored is durable."), ["What is"]);
    assert.deepEqual(found("// Reports what is stored."), []);
  });

  it("finds idioms in a page and passes over its fenced code", () => {
    const page = ["The watch goes on.", "```", "nobody", "```", "It is told."].join("\n");
    assert.deepEqual(
      findInMarkdown(page).map(({ line, found }) => [line, found]),
      [
        [1, "goes on"],
        [5, "told"],
      ],
    );
  });

  it("reads quotes in a regular expression as code", () => {
    const source = "const quoted = /[\"']nobody/.test(text); // Nobody";
    const comments = splitSource(source).filter(({ kind }) => kind === "comment");
    assert.deepEqual(
      comments.map(({ text }) => text),
      ["// Nobody"],
    );
  });

  it("reads braces and quotes inside the placeholders of a template", () => {
    const placeholder = ["$", "{"].join("");
    const inner = `\`y ${placeholder}d}\``;
    const source = `const a = \`x ${placeholder}b({ c: "}" }, ${inner})} z\`; // end`;
    const kinds = splitSource(source).map(({ kind }) => kind);
    assert.deepEqual(kinds, ["code", "string", "code", "comment"]);
  });
});
