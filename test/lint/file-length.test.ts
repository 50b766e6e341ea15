import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { it } from "node:test";
import { ROOT_URL } from "../support/repository.ts";

const FOLDERS = ["master", "chunkserver", "client", "shared", "scripts", "test"];
const LINES_MAX = 400;

// Biome's noExcessiveLinesPerFile skips comments as well as blank lines. This test counts comments.
it("every file has at most 400 lines, without blank lines and with comments", async () => {
  const tooLong: string[] = [];
  for (const folder of FOLDERS) {
    for (const name of await readdir(new URL(folder, ROOT_URL), { recursive: true })) {
      if (!/\.(ts|mjs)$/.test(name)) continue;
      const text = await readFile(new URL(`${folder}/${name}`, ROOT_URL), "utf8");
      const count = text.split("\n").filter((line) => line.trim() !== "").length;
      if (count > LINES_MAX) tooLong.push(`${folder}/${name}: ${count} lines`);
    }
  }
  assert.deepEqual(tooLong, []);
});
