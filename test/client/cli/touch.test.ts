import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { jsonLines } from "../../support/memory-cli-env.ts";
import { CliCluster } from "../support/cli-cluster.ts";

let cluster: CliCluster;
const TIME = "2020-02-03T04:05:06.789Z";
const TIME_MS = Date.parse(TIME);
const OLD_MS = Date.parse("2001-01-01T00:00:00Z");

before(async () => {
  cluster = await CliCluster.start();
  await cluster.fs.mkdir("/d");
});
after(() => cluster[Symbol.asyncDispose]());

async function timesOf(path: string): Promise<readonly [number, number]> {
  const { mtimeMs, atimeMs } = await cluster.fs.stat(path);
  return [mtimeMs, atimeMs];
}

describe("touch", () => {
  const CASES: ReadonlyArray<readonly [string, readonly [number, number]]> = [
    [`-d ${TIME}`, [TIME_MS, TIME_MS]],
    [`-m -d ${TIME}`, [TIME_MS, OLD_MS]],
    [`-a -d ${TIME}`, [OLD_MS, TIME_MS]],
    [`-a -m -d ${TIME}`, [TIME_MS, TIME_MS]],
    ["-d @-1.5", [-1500, -1500]],
    ["-d 2020-02-03", [Date.parse("2020-02-03"), Date.parse("2020-02-03")]],
    ["-r /d/reference", [1, 2]],
    ["-c -m -r /d/reference", [1, OLD_MS]],
  ];
  for (const [flags, expected] of CASES) {
    it(`sets the times of a file and of a directory: ${flags}`, async () => {
      await cluster.make("/d/reference", "/d/f", "/d/dir/");
      await cluster.fs.setAttributes("/d/reference", { mtimeMs: 1, atimeMs: 2 });
      for (const path of ["/d/f", "/d/dir"]) {
        await cluster.fs.setAttributes(path, { mtimeMs: OLD_MS, atimeMs: OLD_MS });
        await cluster.exits(0, "touch", ...flags.split(" "), path);
        assert.deepEqual(await timesOf(path), expected);
      }
      assert.equal(Buffer.from(await cluster.fs.readFile("/d/f")).toString(), "/d/f");
    });
  }

  it("creates a missing file with its times, in one step", async () => {
    const result = await cluster.exits(0, "touch", "--json", "-d", TIME, "/d/new[1]", "/d/f*");
    assert.deepEqual(
      jsonLines(result.stdout).map(({ path, is_created: isCreated }) => [path, isCreated]),
      [
        ["/d/new[1]", true],
        ["/d/f*", true],
      ],
    );
    assert.deepEqual(await timesOf("/d/new[1]"), [TIME_MS, TIME_MS]);
    const { version } = await cluster.fs.stat("/d/f*");
    const [created, ...later] = jsonLines(
      (await cluster.exits(0, "history", "--json", "/d/f*")).stdout,
    );
    assert.deepEqual([created?.["index"], later], [version, []]);
  });

  it("sets the current time, and a time ago", async () => {
    const before = Date.now();
    await cluster.exits(0, "touch", "/d/now");
    await cluster.fs.setAttributes("/d/now", { mtimeMs: OLD_MS, atimeMs: OLD_MS });
    await cluster.exits(0, "touch", "/d/now");
    await cluster.exits(0, "touch", "-d", "2h", "/d/ago");
    const after = Date.now();
    for (const timeMs of await timesOf("/d/now")) assert.ok(before <= timeMs && timeMs <= after);
    const [agoMs] = await timesOf("/d/ago");
    assert.ok(before <= agoMs + 7_200_000 && agoMs + 7_200_000 <= after);
  });

  it("creates nothing with -c, below a missing directory, or with a slash at the end", async () => {
    await cluster.make("/d/file");
    const { stdout } = await cluster.exits(0, "touch", "-c", "--json", "/d/none");
    assert.equal(stdout, "");
    await cluster.exits(3, "touch", "/none/f");
    await cluster.exits(6, "touch", "/d/none/");
    await cluster.exits(6, "touch", "/d/file/");
    await cluster.exits(6, "touch", "/d/file/below");
    await cluster.exits(8, "touch", "/none/f", "/d/other");
    const found = (await cluster.exits(0, "ls", "/d")).stdout;
    assert.doesNotMatch(found, /none/);
    assert.match(found, /other/);
  });

  it("refuses times that it cannot use", async () => {
    for (const date of [
      "",
      "x",
      "12",
      "2020-13-01",
      "@x",
      "yesterday",
      "@1e30",
      "@99999999999999",
    ]) {
      const { stderr } = await cluster.exits(2, "touch", "-d", date, "/d/refused");
      assert.match(stderr, /^ashlar: Cannot /, date);
    }
    await cluster.exits(2, "touch", "-d", TIME, "-r", "/d", "/d/refused");
    await cluster.exits(3, "touch", "-r", "/d/none", "/d/refused");
    await cluster.exits(3, "ls", "/d/refused");
  });
});
