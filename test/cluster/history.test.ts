import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { jsonLines } from "../support/memory-cli-env.ts";
import { shareCluster } from "../support/shared-cluster.ts";
import type { StartedCluster } from "../support/started-cluster.ts";

describe("history, restore and transactions on the command line", () => {
  let cluster: StartedCluster;
  before(async () => {
    cluster = await shareCluster();
  });
  after(() => cluster[Symbol.asyncDispose]());

  /**
   * Makes a tree with a small file in two versions and a large file that is removed.
   *
   * @returns the index of the first version of the small file, when the large file existed
   */
  async function makeTree(): Promise<number> {
    const fs = cluster.fileSystem;
    await fs.mkdir("/d/sub", { parents: true });
    await fs.writeFile("/d/large", new Uint8Array(3 * 1024 * 1024).fill(5));
    const { index } = await fs.writeFile("/d/small", "one");
    await fs.writeFile("/d/small", "two and more", { replace: true });
    await fs.unlink("/d/large");
    return index;
  }

  it("reads a state of the past, prints the history and restores the state", async () => {
    const index = await makeTree();
    const at = String(index);
    assert.equal(await cluster.ok("ls", "/d"), "small\nsub\n");
    assert.equal(await cluster.ok("ls", "/d", "--at", at), "large\nsmall\nsub\n");
    assert.equal(await cluster.ok("cat", "/d/small", "--at", at, "--read-mode", "session"), "one");
    const stat = jsonLines(await cluster.ok("stat", "--json", "/d/l*", "--at", at));
    assert.equal(stat[0]?.["size_bytes"], 3 * 1024 * 1024);
    const local = join(cluster.work, "got");
    await mkdir(local);
    await cluster.ok("get", "-r", "/d/.", local, "--at", at);
    assert.equal(await readFile(join(local, "small"), "utf8"), "one");
    assert.equal((await readFile(join(local, "large"))).length, 3 * 1024 * 1024);

    const versions = jsonLines(await cluster.ok("history", "--json", "/d/small"));
    assert.deepEqual(
      versions.map((line) => [line["schema"], line["change"]]),
      ["created", "content"].map((change) => ["ashlar.history/1", change]),
    );
    assert.match(await cluster.ok("history", "/d/large"), /INDEX +TIME.*\n.*created.*\n.*removed/);

    const refused = await cluster.fails(6, "restore", "/d", "--at", at);
    assert.match(refused, /File exists: \/d\n.*--force/);
    const dry = await cluster.ok("restore", "/d", "--at", at, "--force", "--dry-run");
    assert.match(dry, /would restore \/d as of index \d+ to \/d/);
    const [restored] = jsonLines(
      await cluster.ok("restore", "--json", "/d", "--at", at, "--to", "/then"),
    );
    assert.deepEqual(
      [restored?.["file_count"], restored?.["directory_count"], restored?.["from_index"]],
      [2, 2, index],
    );
    await cluster.ok("restore", "/d", "--at", at, "--force");
    assert.equal(await cluster.ok("cat", "/d/small"), "one");
    assert.equal(
      await cluster.ok("ls", "-R", "/d"),
      (await cluster.ok("ls", "-R", "/then")).replaceAll("then", "d"),
    );
    await cluster.ok("verify", "/then");
  });

  it("accepts times for --at, and names the oldest state that it can read", async () => {
    // A second ago the directory may not have existed, or it was that of another test file.
    const endMs = Date.now() + 10_000;
    let past = await cluster.run("ls", "/d", "--at", "1s");
    while (!past.stdout.includes("small") && Date.now() < endMs) {
      await sleep(100);
      past = await cluster.run("ls", "/d", "--at", "1s");
    }
    assert.match(past.stdout, /small/, past.stderr);
    assert.match(await cluster.ok("ls", "/d", "--at", new Date().toISOString()), /small/);
    const tooOld = await cluster.fails(6, "ls", "/", "--at", "2001-01-01");
    assert.match(tooOld, /expected index \d+ \(\d{4}-\d\d-\d\dT.*Z\) or later/);
    await cluster.fails(2, "ls", "/", "--at", "yesterday");
    await cluster.fails(2, "ls", "/", "--at", "999999999");
    await cluster.fails(2, "restore", "/d");
    assert.match(await cluster.ok("ls", "/", "--read-mode", "stale"), /\n/);
    assert.match(
      await cluster.ok("status"),
      /history: \d+ old versions \(at most 10000000\), back to index/,
    );
    const [status] = jsonLines(await cluster.ok("status", "--json"));
    const history = status?.["history"] as Record<string, unknown>;
    assert.equal(history["retention_ms"], 24 * 60 * 60 * 1000);
  });

  it("commits the operations of a file atomically, or names the refused line and the reason", async () => {
    const file = join(cluster.work, "changes.jsonl");
    const write = (...written: object[]) =>
      writeFile(file, `# a comment\n\n${written.map((line) => JSON.stringify(line)).join("\n")}\n`);
    await write(
      { if: "absent", path: "/txn" },
      { op: "mkdir", path: "/txn", mode: "700" },
      { op: "put", path: "/txn/hello", text: "hello" },
      {
        op: "create",
        path_base64: Buffer.from([0x2f, 0x74, 0x78, 0x6e, 0x2f, 0xff]).toString("base64"),
      },
      { op: "copy", from: "/d/large", to: "/txn/large" },
      { op: "rename", from: "/txn/hello", to: "/txn/hi" },
      { op: "set-attributes", path: "/txn/hi", mtime: "2026-01-02T03:04:05Z" },
    );
    const [outcome] = jsonLines(await cluster.ok("txn", "--json", file));
    assert.equal(outcome?.["schema"], "ashlar.txn/1");
    assert.equal(outcome?.["committed"], true);
    const results = outcome?.["results"] as Array<Record<string, unknown>>;
    assert.deepEqual(
      results.map((result) => [result["line"], result["op"]]),
      ["mkdir", "put", "create", "copy", "rename", "set-attributes"].map((op, at) => [at + 4, op]),
    );
    assert.equal(await cluster.ok("cat", "/txn/hi"), "hello");
    assert.equal(
      await cluster.ok("stat", "--format", "%y", "/txn/hi"),
      "2026-01-02T03:04:05.000Z\n",
    );

    await write({ op: "unlink", path: "/txn/hi" }, { op: "rmdir", path: "/txn" });
    assert.match(await cluster.fails(6, "txn", file), /Line 4: Directory not empty: \/txn/);
    const refused = await cluster.run("txn", "--json", file);
    assert.deepEqual(jsonLines(refused.stdout)[0]?.["refused"], {
      part: "operation",
      line: 4,
      position: 1,
      code: "NOT_EMPTY",
      path: "/txn",
      expected: "an empty directory",
      found: { kind: "directory", version: outcomeVersion(refused.stdout), entry_count: 2 },
    });
    assert.equal(
      await cluster.ok("cat", "/txn/hi"),
      "hello",
      "no operation of the refused transaction was applied",
    );

    await write({ op: "put", path: "/txn/no", text: "a", base64: "YQ==" });
    assert.match(
      await cluster.fails(2, "txn", file),
      /line 3: expected exactly one of the keys "text"/,
    );
    await write({ op: "put", path: "/txn/no", colour: "red" });
    assert.match(await cluster.fails(2, "txn", file), /line 3: unknown key "colour"/);
    await write({ if: "exists", path: "/txn" });
    assert.match(await cluster.fails(2, "txn", file), /at least one operation/);

    const input = '{"op":"remove-tree","path":"/txn"}\n';
    const { stderr } = await cluster.runWithInput(input, "txn", "-");
    assert.match(stderr, /committed 1 operation at index \d+/);
    assert.match(
      await cluster.fails(3, "ls", "/txn"),
      /^ashlar: No such file or directory: \/txn$/m,
    );
  });

  function outcomeVersion(stdout: string): unknown {
    const refused = jsonLines(stdout)[0]?.["refused"] as { found: { version: number } };
    return refused.found.version;
  }
});
