import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { CliCluster } from "../support/cli-cluster.ts";

let cluster: CliCluster;

before(async () => {
  cluster = await CliCluster.start();
  await writeFile(join(cluster.work, "it's"), "local");
  await cluster.make("/from/a", "/it's a dir/f", "/file");
});
after(() => cluster[Symbol.asyncDispose]());

/** Returns the words that a shell reads from a command line. */
function words(line: string): string[] {
  const script = `printf '%s\\0' ${line}`;
  return execFileSync("bash", ["-c", script], { encoding: "utf8" }).split("\0").slice(0, -1);
}

/** Returns the command in the hint of a result, without the name of the program. */
function hintOf(stderr: string): string[] {
  const [, line] = /^ {2}hint: (ashlar .*)$/m.exec(stderr) ?? [];
  assert.ok(line !== undefined, stderr);
  return words(line).slice(1);
}

/** Commands that fail, and whether the same command succeeds after the command of the hint. */
const PASTED: ReadonlyArray<{ readonly line: readonly string[]; readonly isRepeated: boolean }> = [
  { line: ["put", "it's", "/p u t/b/c"], isRepeated: true },
  { line: ["put", "it's", "/put it's/"], isRepeated: true },
  { line: ["cp", "/from/a", "/c p/b/c"], isRepeated: true },
  { line: ["cp", "/from/a", "/c p s/"], isRepeated: true },
  { line: ["mv", "/file", "/m v/b/c"], isRepeated: true },
  { line: ["touch", "/to uch/b/c"], isRepeated: true },
  { line: ["mkdir", "/mk dir/b"], isRepeated: true },
  { line: ["cp", "/it's a dir", "/copy of it's"], isRepeated: false },
  { line: ["get", "/it's a dir", "it's here"], isRepeated: false },
  { line: ["rm", "/copy of it's"], isRepeated: false },
];

describe("the command in a hint", () => {
  for (const { line, isRepeated } of PASTED) {
    it(`of \`${line.join(" ")}\` can be pasted`, async () => {
      const failed = await cluster.run(line);
      assert.notEqual(failed.status, 0);
      const pasted = hintOf(failed.stderr);
      // Nothing answers the question of `rm -r` here.
      const answered = pasted[0] === "rm" ? [...pasted, "--yes"] : pasted;
      await cluster.exits(0, ...answered);
      if (isRepeated) await cluster.exits(0, ...line);
    });
  }

  it("is not given if it cannot help", async () => {
    for (const line of [
      ["cp", "/missing", "/from/b"],
      ["mv", "/missing", "/from/b"],
      ["cp", "/from/a", "/from/a/b"],
      ["cp", "/from/a", "/from/a/"],
      ["put", "it's", "/from/a/"],
      ["mkdir", "/from/a/b"],
    ]) {
      const { status, stderr } = await cluster.run(line);
      assert.notEqual(status, 0, line.join(" "));
      assert.doesNotMatch(stderr, /hint: ashlar mkdir/, line.join(" "));
    }
  });

  it("names `get` for a target of cp and mv that exists on this machine", async () => {
    for (const command of ["cp", "mv"]) {
      const { stderr } = await cluster.exits(3, command, "/from/a", `${cluster.work}/`);
      assert.match(stderr, /hint: Both paths are in the cluster; .*`ashlar get`/);
    }
  });

  it("shows a command with a source that lacks its target", async () => {
    for (const command of ["put", "cp", "mv"]) {
      const { stderr } = await cluster.exits(2, command, "/it's");
      assert.deepEqual(hintOf(stderr), [command, "/it's", "/TARGET"]);
    }
  });

  it("replaces a guess from similar letters", async () => {
    const { stderr } = await cluster.exits(2, "ln");
    assert.doesNotMatch(stderr, /Did you mean/);
    assert.equal(hintOf(stderr.replace(/;.*/, ""))[0], "cp");
  });
});
