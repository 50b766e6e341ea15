import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { ROOT_URL } from "../support/repository.ts";
import { findImportCycles } from "./import-cycles.ts";

const FOLDERS = ["master", "chunkserver", "client", "shared", "scripts", "test"];

async function readTree(): Promise<Map<string, string>> {
  const sources = new Map<string, string>();
  for (const folder of FOLDERS) {
    for (const name of await readdir(new URL(folder, ROOT_URL), { recursive: true })) {
      if (!/\.(ts|mjs)$/.test(name)) continue;
      const file = `${folder}/${name}`;
      sources.set(file, await readFile(new URL(file, ROOT_URL), "utf8"));
    }
  }
  return sources;
}

describe("import cycles", () => {
  it("do not exist in the tree, type-only imports included", async () => {
    const sources = await readTree();
    assert.ok(sources.size > 500, "the whole tree was read");
    assert.deepEqual(findImportCycles(sources), []);
  });

  it("are found in every form of an import", () => {
    const forms = [
      'import { b } from "./b.ts";',
      'import type { B } from "./b.ts";',
      'import {\n  b,\n  type C,\n} from "./b.ts";',
      'import "./b.ts";',
      'export { b } from "./b.ts";',
      'const b = import("./b.ts");',
      'type B = import("./b.ts").B;',
    ];
    for (const form of forms) {
      const sources = new Map([
        ["x/a.ts", form],
        ["x/b.ts", 'import type { A } from "../x/a.ts";'],
        ["x/c.ts", 'import type { A } from "./a.ts";'],
      ]);
      assert.deepEqual(findImportCycles(sources), [["x/a.ts", "x/b.ts"]], form);
    }
  });

  it("are found across several files, and reported once each", () => {
    const sources = new Map([
      ["a.ts", 'import "./b.ts";'],
      ["b.ts", 'import "./c.ts";'],
      ["c.ts", 'import "./a.ts";\nimport "./d.ts";'],
      ["d.ts", 'import "./e.ts";'],
      ["e.ts", 'import type { D } from "./d.ts";'],
    ]);
    assert.deepEqual(findImportCycles(sources).toSorted(), [
      ["a.ts", "b.ts", "c.ts"],
      ["d.ts", "e.ts"],
    ]);
  });

  it("do not include files that only meet in a third one", () => {
    const sources = new Map([
      ["a.ts", 'import "./b.ts";\nimport "./c.ts";'],
      ["b.ts", 'import "./d.ts";'],
      ["c.ts", 'import "./d.ts";'],
      ["d.ts", 'import fs from "node:fs";'],
    ]);
    assert.deepEqual(findImportCycles(sources), []);
  });
});
