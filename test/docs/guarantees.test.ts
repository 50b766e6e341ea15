import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { ROOT_URL } from "../support/repository.ts";

interface Proof {
  /** A file or a folder of tests. */
  readonly path: string;
  /** Names of tests in `path`. Empty: all tests in it. */
  readonly names: readonly string[];
}

/** Returns the proofs in a row of the table: "`test/a.test.ts`: *does this*, *does that*". */
function proofsIn(row: string): Proof[] {
  return [...row.matchAll(/`(test\/[^`]+)`([^`]*)/g)].map(([, path = "", text = ""]) => ({
    path,
    names: [...text.matchAll(/\*([^*]+)\*/g)].map(([, name = ""]) => name),
  }));
}

async function testsBelow(path: string): Promise<string> {
  const file = new URL(path, ROOT_URL);
  if (/\.(ts|txt)$/.test(path)) return readFile(file, "utf8");
  const names = await readdir(file, { recursive: true });
  const tests = names.filter((name) => name.endsWith(".test.ts"));
  assert.ok(tests.length > 0, `${path} contains tests`);
  const texts = tests.map((name) => readFile(new URL(`${path}/${name}`, ROOT_URL), "utf8"));
  return (await Promise.all(texts)).join("\n");
}

describe("docs/guarantees.md", () => {
  it("names tests that exist for every guarantee", async () => {
    const page = await readFile(new URL("docs/guarantees.md", ROOT_URL), "utf8");
    const rows = page.split("\n").filter((line) => /^\| G\d+ \|/.test(line));
    assert.ok(rows.length > 10, `${rows.length} guarantees`);
    for (const row of rows) {
      const proofs = proofsIn(row);
      assert.ok(proofs.length > 0, `a test for ${row.slice(0, 60)}`);
      for (const { path, names } of proofs) {
        const tests = await testsBelow(path);
        for (const name of names) assert.ok(tests.includes(name), `${path}: ${name}`);
      }
    }
  });
});
