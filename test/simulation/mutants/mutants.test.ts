import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { edited, inRaft, type Mutant } from "./mutant.ts";
import { MUTANTS, runMutants } from "./run-mutants.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

const VOTE_TWICE: Mutant = {
  ...(MUTANTS.find((mutant) => mutant.name === "vote-twice") as Mutant),
  caughtBy: inRaft(2),
};

/** Changes what nobody can notice. */
const HARMLESS: Mutant = {
  name: "harmless",
  bug: "Nothing is wrong",
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

/** Does not even run. */
const SLIP: Mutant = {
  ...HARMLESS,
  name: "slip",
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
  it("are many, each under a name of its own, and are edits of code that is there", () => {
    assert.ok(MUTANTS.length >= 20, `${MUTANTS.length} mutants`);
    assert.equal(new Set(MUTANTS.map((mutant) => mutant.name)).size, MUTANTS.length);
    for (const { edits, caughtBy } of MUTANTS) {
      const sources = new Map<string, string>();
      for (const edit of edits) {
        const source = sources.get(edit.file) ?? readFileSync(join(ROOT, edit.file), "utf8");
        sources.set(edit.file, edited(source, edit));
      }
      if (caughtBy.kind === "test") assert.ok(existsSync(join(ROOT, caughtBy.file)), caughtBy.file);
    }
  });

  it("are refused when the code they change has moved on", () => {
    const edit = { file: "a.ts", find: "x = 1;", replace: "x = 2;" };
    assert.equal(edited("let x = 1;\n", edit), "let x = 2;\n");
    assert.throws(() => edited("let x = 3;\n", edit), /not 0 times: x = 1;/);
    assert.throws(() => edited("x = 1; x = 1;", edit), /not 2 times/);
  });

  it("are told apart: caught, survived, or no proof at all", async () => {
    const mutants = [VOTE_TWICE, HARMLESS, SLIP];
    const { brokenChecks, results } = await runMutants({ mutants, jobs: 2, onResult: () => {} });
    assert.deepEqual(brokenChecks, []);
    const kinds = results.map(({ judgement }) => judgement.kind);
    assert.deepEqual(kinds, ["failed", "passed", "broken"], JSON.stringify(results));
    const [caught] = results;
    assert.ok(caught?.judgement.kind === "failed" && caught.judgement.seed !== null);
    assert.match(caught.judgement.what, /votes for \d and \d in term \d+/);
  });
});
