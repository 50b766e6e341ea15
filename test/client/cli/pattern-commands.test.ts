import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { COMMANDS } from "../../../client/cli/command-table.ts";
import { CliCluster } from "../support/cli-cluster.ts";
import { matchesByTable } from "./pattern-reference.ts";

let cluster: CliCluster;

before(async () => {
  cluster = await CliCluster.start();
});
after(() => cluster[Symbol.asyncDispose]());

/** The arguments of every command that takes patterns, and how its result shows the paths. */
const COMMAND_LINES: Readonly<Record<string, (pattern: string) => string[]>> = {
  cat: (pattern) => ["cat", pattern],
  checksum: (pattern) => ["checksum", pattern],
  chmod: (pattern) => ["chmod", "640", pattern],
  chown: (pattern) => ["chown", "7:7", pattern],
  cp: (pattern) => ["cp", pattern, "/copies/"],
  du: (pattern) => ["du", pattern],
  find: (pattern) => ["find", pattern, "-maxdepth", "0"],
  get: (pattern) => ["get", pattern, "."],
  head: (pattern) => ["head", "-q", pattern],
  ls: (pattern) => ["ls", "-d", pattern],
  mv: (pattern) => ["mv", pattern, "/moved/"],
  rm: (pattern) => ["rm", pattern],
  stat: (pattern) => ["stat", pattern],
  tail: (pattern) => ["tail", "-q", pattern],
  verify: (pattern) => ["verify", pattern],
};

describe("commands with patterns", () => {
  it("are all tested here", () => {
    const withOption = COMMANDS.filter(({ options = [] }) =>
      options.some(({ flags }) => flags === "--no-glob"),
    );
    assert.deepEqual(withOption.map(({ name }) => name).sort(), Object.keys(COMMAND_LINES));
  });

  for (const [name, lineOf] of Object.entries(COMMAND_LINES)) {
    it(`${name}: takes exactly the matches, and names with metacharacters as typed`, async () => {
      const top = `/p-${name}`;
      const made = ["keep", "k2", "other", "a", "b", "a|b", "(a)", '"q"', "x\\y", "!n", "[z]", "z"];
      await cluster.make(...made.map((each) => `${top}/${each}`), "/copies/", "/moved/");
      const cases: ReadonlyArray<readonly [string, readonly string[]]> = [
        ["[!k]*", made.filter((each) => !each.startsWith("k"))],
        ["k?", ["k2"]],
        ["[z]", ["[z]"]], // It exists as typed, although it is a pattern, too.
        ["a|b", ["a|b"]],
        ["{a,b}", ["a", "b"]],
        ["(*)", ["(a)"]],
        ['"?"', ['"q"']],
        ["x\\*", ["x\\y"]],
        ["!*", ["!n"]],
      ];
      for (const [pattern, expected] of cases) {
        if (pattern !== "[z]") {
          assert.deepEqual(
            made.filter((each) => matchesByTable(pattern, each)),
            expected,
          );
        }
        const [command = "", ...rest] = lineOf(`${top}/${pattern}`);
        const { stdout } = await cluster.exits(0, command, "--json", ...forced(command), ...rest);
        const taken = await takenOf(name, { top, stdout, made });
        assert.deepEqual(taken.sort(), [...expected].sort(), `${name} ${pattern}`);
        if (name === "mv" || name === "rm") {
          await cluster.make(...expected.map((each) => `${top}/${each}`));
        }
      }
      await cluster.exits(3, ...lineOf(`${top}/none*`));
      await cluster.exits(3, ...lineOf(`${top}/none*`), "--no-glob");
    });

    it(`${name}: continues after a pattern without a match`, async () => {
      const top = `/c-${name}`;
      await cluster.make(`${top}/1`, `${top}/2`, "/copies/", "/moved/");
      const line = lineOf("PATTERN");
      const at = line.indexOf("PATTERN");
      const three = [`${top}/1`, `${top}/none*`, `${top}/2`];
      const [command = "", ...rest] = line.toSpliced(at, 1, ...three);
      const result = await cluster.exits(8, command, "--json", ...forced(command), ...rest);
      assert.match(result.stderr, /No match in the cluster/);
      const taken = await takenOf(name, { top, stdout: result.stdout, made: ["1", "2"] });
      assert.deepEqual(taken.sort(), ["1", "2"]);
    });

    it(`${name}: refuses a slash after the name of a file`, async () => {
      await cluster.make(`/s-${name}/f`, "/copies/", "/moved/");
      const { stderr } = await cluster.exits(6, ...lineOf(`/s-${name}/f/`));
      assert.match(stderr, /Not a directory: /);
      await cluster.exits(3, ...lineOf(`/s-${name}/f*/`));
      assert.deepEqual(await cluster.files(`/s-${name}`), [`/s-${name}/f=/s-${name}/f`]);
    });
  }

  const forced = (command: string): string[] =>
    ["cp", "mv", "get"].includes(command) ? ["-f"] : [];

  /** Returns the names that a command used. */
  async function takenOf(
    name: string,
    { top, stdout, made }: { top: string; stdout: string; made: readonly string[] },
  ): Promise<string[]> {
    if (name === "cat" || name === "head" || name === "tail") {
      return made.filter((each) => stdout.includes(`${top}/${each}`) && isTaken(stdout, top, each));
    }
    if (name === "rm") {
      const left = (await cluster.files(top)).map((each) => each.split("=")[0]);
      return made.filter((each) => !left.includes(`${top}/${each}`));
    }
    const paths = stdout
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as { kind?: string; path?: string; from?: string })
      .filter(({ kind }) => kind !== "chunk")
      .map(({ path, from }) => path ?? from ?? "");
    return paths.map((path) => path.slice(top.length + 1));
  }

  /** Contents are paths one after another; no path here is the beginning of another one. */
  function isTaken(text: string, top: string, name: string): boolean {
    return text.split(top).includes(`/${name}`);
  }
});

describe("patterns in the cluster", () => {
  const listed = async (...patterns: string[]): Promise<string[]> => {
    const { stdout } = await cluster.exits(0, "ls", "-d", ...patterns);
    return stdout.trimEnd().split("\n");
  };

  it("yield each match once, in byte order, a directory before its entries", async () => {
    await cluster.make("/t/b/x/1", "/t/a/x/2", "/t/a/y", "/t/a.b/x/3", "/t/x");
    assert.deepEqual(await listed("/t/*/x"), ["/t/a/x", "/t/a.b/x", "/t/b/x"]);
    assert.deepEqual(await listed("/t/**/x"), ["/t/a/x", "/t/a.b/x", "/t/b/x", "/t/x"]);
    assert.deepEqual(await listed("/t/a/**"), ["/t/a/x", "/t/a/x/2", "/t/a/y"]);
    assert.deepEqual(await listed("/t/{b,a}{,/x}"), ["/t/a", "/t/a/x", "/t/b", "/t/b/x"]);
    assert.deepEqual(await listed("/t/*/"), ["/t/a", "/t/a.b", "/t/b"]);
    assert.deepEqual(await listed("/t/{x/1,a/y,z/w}"), ["/t/a/y"]);
    assert.deepEqual(await listed("ashlar:/t/a/?"), ["/t/a/x", "/t/a/y"]);
  });

  it("take the leading names that exist as typed", async () => {
    await cluster.make("/l/Album [2019]/1.jpg", "/l/Album 2/2.jpg", "/l/a*", "/l/ab", "/l/*/f");
    assert.deepEqual(await listed("/l/Album [2019]/*.jpg"), ["/l/Album [2019]/1.jpg"]);
    assert.deepEqual(await listed("/l/a*"), ["/l/a*"]);
    assert.deepEqual(await listed("/l/a[*]"), ["/l/a*"]);
    assert.deepEqual(await listed("/l/*/*"), ["/l/*/f"]);
    await cluster.exits(0, "rm", "/l/a*");
    assert.deepEqual(await listed("/l/a*"), ["/l/ab"]);
    await cluster.exits(3, "rm", "--no-glob", "/l/a*");
  });

  it("remove a tree from above without errors about what is below", async () => {
    await cluster.make("/tree/a/b/c", "/tree/d");
    await cluster.exits(0, "rm", "-r", "--yes", "/tree/**");
    assert.deepEqual(await cluster.files("/tree"), []);
    await cluster.exits(0, "rm", "-f", "/tree/none*", "/tree/none");
  });

  it("are refused before anything is done if one cannot be used", async () => {
    await cluster.make("/u/a");
    for (const bad of ["u/*", `/${"x".repeat(5000)}*`, `/${"{a,b}".repeat(20)}`, "/u/*/../a"]) {
      await cluster.exits(2, "rm", "/u/a", bad);
    }
    assert.deepEqual(await cluster.files("/u"), ["/u/a=/u/a"]);
  });

  it("select the files of put and get", async () => {
    const source = join(cluster.work, "filter");
    await mkdir(source);
    for (const name of ["keep", "other", "a|b", "a"]) await writeFile(join(source, name), name);
    await cluster.exits(0, "put", "-r", "--include", "[!k]*", "--exclude", "a|b", "filter", "/f1");
    assert.deepEqual(await cluster.files("/f1"), ["/f1/a=a", "/f1/other=other"]);
    await cluster.exits(0, "get", "-r", "--exclude", "[^o]*", "/f1", "f2");
    assert.deepEqual(await readdir(join(cluster.work, "f2")), ["other"]);
    await cluster.exits(2, "put", "-r", "--exclude", "build/", "filter", "/f3");
  });
});
