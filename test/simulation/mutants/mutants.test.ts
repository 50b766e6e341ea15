import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ROOT } from "../../support/repository.ts";
import { applyEdit, inRaft, type Mutant } from "./mutant.ts";
import { MUTANTS, runMutants } from "./run-mutants.ts";

const VOTE_TWICE: Mutant = {
  ...(MUTANTS.find((mutant) => mutant.name === "vote-twice") as Mutant),
  caughtBy: inRaft(2),
};

/** Changes the source text without a change of behaviour: no check can detect it. */
const EQUIVALENT: Mutant = {
  name: "equivalent",
  bug: "The code has the same behaviour",
  breaks: "nothing",
  edits: [
    {
      file: "master/raft/election.ts",
      find: "const LAST_RESORT_TIMEOUTS = 10;",
      replace: "const LAST_RESORT_TIMEOUTS = 5 + 5;",
    },
  ],
  caughtBy: inRaft(1),
};

/** Uses an undefined name: the mutated code ends with a ReferenceError. */
const UNDEFINED_NAME: Mutant = {
  ...EQUIVALENT,
  name: "undefined-name",
  edits: [
    {
      file: "master/raft/election.ts",
      find: "return core.electionElapsedTicks < electionTicks;",
      replace: "return noSuchName;",
    },
    {
      file: "master/raft/election.ts",
      find: "if (!checkQuorum || leaderIdOf(core) === NO_MEMBER) return false;",
      replace: "",
    },
  ],
};

describe("planted bugs", () => {
  it("have unique names, edits that apply to the current sources, and existing test files", () => {
    assert.ok(MUTANTS.length >= 20, `${MUTANTS.length} mutants`);
    assert.equal(new Set(MUTANTS.map((mutant) => mutant.name)).size, MUTANTS.length);
    for (const { edits, caughtBy } of MUTANTS) {
      const sources = new Map<string, string>();
      for (const edit of edits) {
        const source = sources.get(edit.file) ?? readFileSync(join(ROOT, edit.file), "utf8");
        sources.set(edit.file, applyEdit(source, edit));
      }
      if (caughtBy.kind === "test") assert.ok(existsSync(join(ROOT, caughtBy.file)), caughtBy.file);
    }
  });

  it("are refused if the text to replace does not occur exactly once", () => {
    const edit = { file: "a.ts", find: "x = 1;", replace: "x = 2;" };
    assert.equal(applyEdit("let x = 1;\n", edit), "let x = 2;\n");
    assert.throws(() => applyEdit("let x = 3;\n", edit), /exactly one occurrence.*is 0: x = 1;/);
    assert.throws(() => applyEdit("x = 1; x = 1;", edit), /exactly one occurrence.*is 2/);
  });

  it("are classified as caught, survived or inconclusive", async () => {
    const mutants = [VOTE_TWICE, EQUIVALENT, UNDEFINED_NAME];
    const { failingChecks, results } = await runMutants({ mutants, jobs: 2, onResult: () => {} });
    assert.deepEqual(failingChecks, []);
    const kinds = results.map(({ checkResult }) => checkResult.kind);
    assert.deepEqual(kinds, ["failed", "passed", "inconclusive"], JSON.stringify(results));
    const caught = results[0]?.checkResult;
    assert.ok(caught?.kind === "failed" && caught.seed !== null);
    assert.match(caught.reason, /votes for \d and \d in term \d+/);
  });
});
