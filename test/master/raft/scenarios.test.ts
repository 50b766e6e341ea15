import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ROOT } from "../../support/repository.ts";
import { runScenario } from "./scenario-runner/run-scenario.ts";

const FOLDER = join(ROOT, "test/master/raft/scenarios");
/** Writes the actual output into the files. Review the diff like code. */
const isUpdating = process.env["UPDATE"] === "1";

describe("scenario files of Raft", () => {
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

/** Returns the name of the file and the first sentence of its comment: the source and the fact. */
function titleOf(name: string): string {
  const lines = readFileSync(join(FOLDER, name), "utf8").split("\n");
  const comment = lines.slice(
    0,
    lines.findIndex((line) => !line.startsWith("#")),
  );
  const text = comment.map((line) => line.replace(/^# /, "")).join(" ");
  const [sentence = ""] = text.split(/(?<=\w|\))\. /);
  return `${name}: ${sentence.replace(/\.$/, "")}`;
}
