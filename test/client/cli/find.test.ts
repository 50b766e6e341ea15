import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { CliCluster } from "../support/cli-cluster.ts";

let cluster: CliCluster;
const DAY_MS = 86_400_000;

before(async () => {
  cluster = await CliCluster.start();
});
after(() => cluster[Symbol.asyncDispose]());

/** Returns the paths that `find /f` prints. */
async function found(...tests: string[]): Promise<string[]> {
  const { stdout } = await cluster.exits(0, "find", "/f", ...tests);
  return stdout.split("\n").slice(0, -1);
}

describe("find", () => {
  before(async () => {
    await cluster.make("/f/a.txt", "/f/B.TXT", "/f/d/c.txt", "/f/d/e/g", "/f/empty/");
    await cluster.fs.writeFile("/f/one", Buffer.alloc(1));
    await cluster.fs.writeFile("/f/k1", Buffer.alloc(1024));
    await cluster.fs.writeFile("/f/k1+", Buffer.alloc(1025));
    const ages = { "a.txt": 0.5, "B.TXT": 1.5, one: 2.5, k1: 3.5, "d/c.txt": -1 };
    const nowMs = Date.now();
    for (const [name, days] of Object.entries(ages)) {
      await cluster.fs.setAttributes(`/f/${name}`, { mtimeMs: nowMs - days * DAY_MS });
    }
  });

  /** GNU find 4.9 prints the same for the same tree, and directories for some tests with -size. */
  const ALL = ["B.TXT", "a.txt", "d", "d/c.txt", "d/e", "d/e/g", "empty", "k1", "k1+", "one"];
  const CASES: ReadonlyArray<readonly [string, readonly string[]]> = [
    ["", ["", ...ALL]],
    ["-print", ["", ...ALL]],
    ["-name *.txt", ["a.txt", "d/c.txt"]],
    ["-iname *.txt", ["B.TXT", "a.txt", "d/c.txt"]],
    ["-iname [A-C]*.Txt", ["B.TXT", "a.txt", "d/c.txt"]],
    ["-iname {B,A}.*", ["B.TXT", "a.txt"]],
    ["-name ? -name [!d]", ["", "d/e", "d/e/g"]],
    ["-name f", [""]],
    ["-type f -name [de]", []],
    ["-type d", ["", "d", "d/e", "empty"]],
    ["-type d,f -name d", ["d"]],
    ["-maxdepth 0", [""]],
    ["-maxdepth 1 -type d", ["", "d", "empty"]],
    ["-mindepth 3", ["d/e/g"]],
    ["-mindepth 2 -maxdepth 2", ["d/c.txt", "d/e"]],
    ["-mindepth 2 -maxdepth 1", []],
    ["-size 1k -name k*", ["k1"]],
    ["-size 2k", ["k1+"]],
    ["-size +1k", ["k1+"]],
    ["-size 1024c", ["k1"]],
    ["-size +1023c -size -1025c", ["k1"]],
    ["-size 2", ["k1"]],
    ["-size 3b", ["k1+"]],
    ["-size -1M", []],
    ["-size 1M -name k*", ["k1", "k1+"]],
    ["-size 1G -name one", ["one"]],
    ["-type f -mtime +1", ["k1", "one"]],
    ["-mtime 1", ["B.TXT"]],
    ["-mtime +0 -mtime -3", ["B.TXT", "one"]],
    ["-type f -mtime -1 -name *.txt", ["a.txt", "d/c.txt"]],
    ["-newer /f/B.TXT -name *.txt", ["a.txt", "d/c.txt"]],
    ["-newer /f/a.txt -newer /f/B.TXT -name *.txt", ["d/c.txt"]],
    ["-newer /f/d/c.txt", []],
  ];
  for (const [line, expected] of CASES) {
    it(`selects what GNU find selects: ${line}`, async () => {
      const paths = await found(...line.split(" ").filter((word) => word !== ""));
      assert.deepEqual(
        paths,
        expected.map((name) => (name === "" ? "/f" : `/f/${name}`)),
      );
      const doubled = line.split(" ").map((word) => (/^-[a-z]/.test(word) ? `-${word}` : word));
      assert.deepEqual(await found(...doubled.filter((word) => word !== "")), paths);
    });
  }

  it("refuses values that it cannot use, before it connects", async () => {
    const lines = [
      "-size 1x",
      "-size ++1",
      "-size 1.5k",
      "-size M",
      "-mtime x",
      "-mtime --1",
      "-type l",
      "-type f,",
      "-name a/b",
      "-name ..",
      "-iname /",
      "-maxdepth -1",
      "-mindepth x",
      "-newer relative",
      "-print0 --json",
      "-exec",
      "-o",
    ];
    for (const line of lines) {
      const command = ["find", "--cluster", "127.0.0.1:1", "/f", ...line.split(" ")];
      const { status, stdout, stderr } = await cluster.run(command);
      assert.deepEqual([status, stdout], [2, ""], line);
      assert.match(stderr, /Cannot|Unknown option/, line);
    }
    await cluster.exits(2, "find", "/f", "-name", "");
  });

  it("takes patterns, several paths, files, and the root", async () => {
    const { stdout } = await cluster.exits(0, "find", "/f/{d,one}", "-type", "f");
    assert.equal(stdout, "/f/d/c.txt\n/f/d/e/g\n/f/one\n");
    const root = await cluster.exits(0, "find", "-maxdepth", "0", "-name", "*");
    assert.equal(root.stdout, "/\n");
    const partly = await cluster.exits(8, "find", "/none", "/f/one");
    assert.equal(partly.stdout, "/f/one\n");
    await cluster.exits(3, "find", "/f", "-newer", "/none");
  });

  it("prints every byte of a name with -print0, and one line without", async () => {
    const names = Array.from({ length: 255 }, (_, index) => index + 1)
      .filter((byte) => byte !== 0x2f)
      .map((byte) => Buffer.from([0x78, byte, 0x79]));
    await cluster.fs.mkdir("/names");
    for (const name of names)
      await cluster.fs.create(Buffer.concat([Buffer.from("/names/"), name]));
    const raw = await cluster.bytes("find", "/names", "-type", "f", "-print0");
    const expected = names.map((name) => `/names/${name.toString("latin1")}\0`).join("");
    assert.equal(raw.toString("latin1"), expected);
    const lines = await cluster.exits(0, "find", "/names", "-type", "f");
    assert.equal(lines.stdout.split("\n").length, names.length + 1);
  });

  it("reads a state of the past, and prints attributes as JSON", async () => {
    await cluster.make("/past/a");
    const index = cluster.fs.lastIndex;
    await cluster.fs.unlink("/past/a");
    const { stdout } = await cluster.exits(0, "find", "/past", "--at", `${index}`, "--json");
    const rows = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      rows.map(({ schema, path, kind }) => [schema, path, kind]),
      [
        ["ashlar.find/1", "/past", "directory"],
        ["ashlar.find/1", "/past/a", "file"],
      ],
    );
  });
});
