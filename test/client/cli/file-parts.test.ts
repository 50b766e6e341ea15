import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { startOfLastLines } from "../../../client/cli/last-lines.ts";
import { CliCluster } from "../support/cli-cluster.ts";

let cluster: CliCluster;

before(async () => {
  cluster = await CliCluster.start();
  await cluster.fs.mkdir("/d");
});
after(() => cluster[Symbol.asyncDispose]());

const CONTENTS = [
  "",
  "\n",
  "\n\n\n",
  "a",
  "a\n",
  "a\nb",
  "a\n\nb\n",
  "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12",
];
const PARTS: Readonly<Record<"head" | "tail", readonly string[]>> = {
  head: [
    "",
    "-n 0",
    "-n 1",
    "-n 2",
    "-n 99",
    "-n -1",
    "-n -3",
    "-3",
    "-c 0",
    "-c 3",
    "-c 99",
    "-c -2",
    "-c -99",
  ],
  tail: [
    "",
    "-n 1",
    "-n 2",
    "-n 99",
    "-n +0",
    "-n +1",
    "-n +2",
    "-n +99",
    "-n -2",
    "-3",
    "-c 3",
    "-c 99",
    "-c +0",
    "-c +2",
    "-c +99",
    "-c -2",
  ],
};

describe("head and tail", () => {
  for (const command of ["head", "tail"] as const) {
    it(`${command} prints what ${command}(1) prints`, async () => {
      for (const [index, content] of CONTENTS.entries()) {
        const name = `f${index}`;
        await cluster.fs.writeFile(`/d/${name}`, Buffer.from(content), { replace: true });
        await writeFile(join(cluster.work, name), content);
      }
      for (const part of PARTS[command]) {
        const flags = part.split(" ").filter((word) => word !== "");
        // GNU takes only one file with the obsolete form "-3" of tail.
        const names = CONTENTS.map((_, index) => `f${index}`);
        const gnuFlags = part === "-3" ? ["-n", "3"] : flags;
        const expected = spawnSync(command, ["-v", ...gnuFlags, ...names], { cwd: cluster.work });
        const paths = names.map((name) => `/d/${name}`);
        const { stdout } = await cluster.exits(0, command, ...flags, ...paths);
        assert.equal(stdout.replaceAll("==> /d/", "==> "), expected.stdout.toString(), part);
      }
    });

    it(`${command} prints headings for several files alone, and continues after a failure`, async () => {
      await cluster.make("/h/a", "/h/b", "/h/d/");
      const one = await cluster.exits(0, command, "/h/a");
      assert.equal(one.stdout, "/h/a");
      const several = await cluster.exits(8, command, "/h/none", "/h/a", "/h/d", "/h/b");
      assert.equal(several.stdout, "==> /h/a <==\n/h/a\n==> /h/b <==\n/h/b");
      assert.match(several.stderr, /\/h\/none[\s\S]*Is a directory: \/h\/d/);
      const pattern = await cluster.exits(0, command, "/h/[!d]", "/h/{a,b}");
      assert.match(pattern.stdout, /^==> \/h\/a <==/);
      assert.equal((await cluster.exits(0, command, "-q", "/h/{a,b}")).stdout, "/h/a/h/b");
      assert.equal((await cluster.exits(0, command, "-v", "/h/a")).stdout, "==> /h/a <==\n/h/a");
      await cluster.exits(6, command, "/h/d");
    });

    it(`${command} refuses parts that it cannot use`, async () => {
      const special = command === "head" ? "+1x" : "-1x";
      for (const flags of [
        ["-n", "x"],
        ["-n", ""],
        ["-n", "1.5"],
        ["-n", special],
        ["-c", "1q"],
        ["-n", "1", "-c", "1"],
      ]) {
        const { stderr } = await cluster.exits(2, command, "/d/f1", ...flags);
        assert.match(stderr, /^ashlar: Cannot use /, flags.join(" "));
      }
    });
  }

  it("tail prints nothing of a size of 0", async () => {
    // tail(1) leaves out the headings, too.
    await cluster.make("/h/a");
    for (const flag of ["-n", "-c"]) {
      assert.equal((await cluster.exits(0, "tail", flag, "0", "/h/a")).stdout, "");
    }
  });

  it("tail reads only the end of a file", async () => {
    const line = Buffer.from("0123456789abcde\n");
    const sizeBytes = 1024 ** 4;
    let readBytes = 0;
    let largestBytes = 0;
    const start = await startOfLastLines(100_000, {
      sizeBytes,
      read: async ({ position, lengthBytes }) => {
        readBytes += lengthBytes;
        largestBytes = Math.max(largestBytes, lengthBytes);
        assert.equal(position % line.length, 0);
        return Buffer.alloc(lengthBytes, line);
      },
    });
    assert.equal(start, sizeBytes - 100_000 * line.length);
    assert.ok(readBytes < 100_000 * line.length + 2 * largestBytes, `${readBytes} bytes`);
    assert.ok(largestBytes <= 1024 * 1024);
  });
});
