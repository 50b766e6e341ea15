import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ROOT } from "../support/repository.ts";
import { TempDirectory } from "../support/temp-directory.ts";

const SCRIPT = join(ROOT, "scripts/check-commits.mjs");
const IDENTITY = ["-c", "user.name=test", "-c", "user.email=test@localhost"];

/** Makes one empty commit for each subject, the first one first. Returns the id of the last one. */
function commit(directory: string, ...subjects: readonly string[]): string {
  for (const subject of subjects) {
    git(directory, "commit", "--quiet", "--allow-empty", "--no-gpg-sign", "--message", subject);
  }
  return git(directory, "rev-parse", "HEAD").trim();
}

function git(cwd: string, ...parameters: readonly string[]): string {
  return execFileSync("git", [...IDENTITY, ...parameters], { cwd, encoding: "utf8" });
}

function check(cwd: string, ...parameters: readonly string[]) {
  return spawnSync(process.execPath, [SCRIPT, ...parameters], { cwd, encoding: "utf8" });
}

/** A repository whose first commit breaks the rule. Returns that commit's id as the base. */
async function repositoryWithBase(): Promise<{ directory: TempDirectory; base: string }> {
  const directory = await TempDirectory.make();
  git(directory.path, "init", "--quiet", "--initial-branch=main");
  return { directory, base: commit(directory.path, "Everything that was there before") };
}

describe("check-commits", () => {
  it("accepts an area and an imperative verb, also a verb that ends like a participle", async () => {
    const { directory, base } = await repositoryWithBase();
    await using _ = directory;
    commit(
      directory.path,
      "raft: keep a vote on disk before answering",
      "client/cli, docs: pass the deadline to every call",
      "gateway: embed the page",
      "wire: string the frames of one message together",
      `docs: ${"x".repeat(66)}`,
    );
    const { status, stdout } = check(directory.path, base);
    assert.equal(status, 0);
    assert.match(stdout, /^5 commit subjects checked, 0 problems$/m);
  });

  it("rejects a subject without an area, a long one, and each form that is not imperative", async () => {
    const { directory, base } = await repositoryWithBase();
    await using _ = directory;
    const rejected = [
      "Add a test",
      "Raft: keep a vote",
      "raft: Keep a vote",
      "raft:keep a vote",
      `docs: ${"x".repeat(67)}`,
      "raft: added a test",
      "raft: adding a test",
      "raft: adds a test",
      "raft: the vote is kept on disk",
    ];
    commit(directory.path, ...rejected);
    const { status, stdout, stderr } = check(directory.path, base);
    assert.equal(status, 1);
    for (const subject of rejected) assert.ok(stderr.includes(` ${subject}\n`), subject);
    assert.match(stdout, /^9 commit subjects checked, 9 problems$/m);
  });

  it("does not check merge commits and commits before the base", async () => {
    const { directory, base } = await repositoryWithBase();
    await using _ = directory;
    git(directory.path, "switch", "--quiet", "--create", "side");
    commit(directory.path, "raft: test one side");
    git(directory.path, "switch", "--quiet", "main");
    git(directory.path, "merge", "--quiet", "--no-ff", "--no-gpg-sign", "side");
    const { status, stdout } = check(directory.path, base);
    assert.equal(status, 0);
    assert.match(stdout, /^1 commit subjects checked/m);
  });

  it("checks the last commits, and says so, where the history does not contain the base", async () => {
    const { directory } = await repositoryWithBase();
    await using _ = directory;
    const { status, stdout, stderr } = check(directory.path);
    assert.equal(status, 1);
    assert.match(stdout, /is not in this history: checking its last 20 commits/);
    assert.match(stderr, /Everything that was there before/);
  });

  it("says that it is skipped outside of a git repository", async () => {
    await using directory = await TempDirectory.make();
    const { status, stdout } = check(directory.path);
    assert.equal(status, 0);
    assert.match(stdout, /^skipped: /);
  });
});
