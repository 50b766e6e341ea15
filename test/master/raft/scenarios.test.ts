import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { runScenario } from "./scenario-runner/run-scenario.ts";

const FOLDER = fileURLToPath(new URL("scenarios", import.meta.url));
/** Writes what comes out into the files; review the difference like code. */
const isUpdating = process.env["UPDATE"] === "1";

describe("scenarios of Raft, one file a story", () => {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith(".txt"));
  for (const name of names) {
    it(titleOf(name), () => {
      const path = join(FOLDER, name);
      const { failure, rewritten } = runScenario("interaction", readFileSync(path, "utf8"));
      if (isUpdating) {
        writeFileSync(path, rewritten);
        return;
      }
      assert.equal(failure?.actual, failure?.expected, `${name}:${failure?.line}`);
    });
  }
});

/** The first line of the file: what it proves, and the section. */
function titleOf(name: string): string {
  const [first = name] = readFileSync(join(FOLDER, name), "utf8").split("\n");
  return `${name}: ${first.replace(/^# /, "")}`;
}
