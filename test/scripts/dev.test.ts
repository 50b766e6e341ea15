import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { touchedTests } from "../../scripts/touched-tests.ts";
import { ROOT } from "../support/repository.ts";
import { TempDirectory } from "../support/temp-directory.ts";

const SCRIPT = join(ROOT, "scripts/dev.mjs");

const TESTS = [
  "test/master/raft/log.test.ts",
  "test/master/raft/scenarios/vote.txt",
  "test/client/connect.test.ts",
  "test/cluster/cli.test.ts",
];

describe("the tests that npm run dev selects", () => {
  it("are the changed test file, or the folder that mirrors the changed file", async () => {
    await using directory = await TempDirectory.make();
    for (const path of TESTS) {
      await mkdir(join(directory.path, dirname(path)), { recursive: true });
      await writeFile(join(directory.path, path), "");
    }
    const select = (...paths: string[]) => touchedTests(directory.path, paths);
    assert.deepEqual(select("test/master/raft/log.test.ts"), ["test/master/raft/log.test.ts"]);
    assert.deepEqual(select("master/raft/log.ts", "master/raft/raft.ts"), ["test/master/raft/"]);
    assert.deepEqual(select("test/master/raft/scenarios/vote.txt"), ["test/master/raft/"]);
    assert.deepEqual(select("master/driver/driver.ts"), ["test/master/"], "the nearest parent");
    assert.deepEqual(select("client/cli/main.ts", "client/index.ts"), ["test/client/"]);
  });

  it("are none of the slow ones, of a removed file, or of a folder without tests", async () => {
    await using directory = await TempDirectory.make();
    await mkdir(join(directory.path, "test/cluster"), { recursive: true });
    const paths = ["test/cluster/cli.test.ts", "test/gone.test.ts", "scripts/bench.mjs"];
    assert.deepEqual(touchedTests(directory.path, paths), []);
  });
});

describe("npm run dev", () => {
  it("ends at SIGINT, also while it checks the types", async () => {
    const child = spawn(process.execPath, [SCRIPT], { stdio: ["ignore", "pipe", "inherit"] });
    const exit = once(child, "exit");
    const [line] = await once(child.stdout, "data");
    assert.match(String(line), /^watching master/);
    child.kill("SIGINT");
    assert.deepEqual(await exit, [130, null]);
  });
});
