import assert from "node:assert/strict";
import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { jsonLines, runCli } from "../../support/memory-cli-env.ts";
import { TempDirectory } from "../../support/temp-directory.ts";

const PROD = "10.0.0.1:7400,10.0.0.2:7400";
const TEST = "127.0.0.1:1";

let directory: TempDirectory;
let path: string;

beforeEach(async () => {
  directory = await TempDirectory.make();
  path = join(directory.path, "etc", "config.toml");
});
afterEach(() => directory[Symbol.asyncDispose]());

const run = (line: readonly string[], variables: Readonly<Record<string, string>> = {}) =>
  runCli(line, {
    variables: { ASHLAR_CONFIG: path, ...variables },
    workingDirectory: directory.path,
  });

async function ok(...line: string[]): Promise<string> {
  const { status, stdout, stderr } = await run(line);
  assert.equal(status, 0, `${line.join(" ")}: ${stderr}`);
  return stdout;
}

async function configured(text: string): Promise<void> {
  await mkdir(join(directory.path, "etc"), { recursive: true });
  await writeFile(path, text);
}

const usedCluster = async (variables: Readonly<Record<string, string>> = {}): Promise<string> =>
  String(jsonLines((await run(["config", "show", "--json"], variables)).stdout)[0]?.["value"]);

describe("cluster use and cluster list", () => {
  it("give names, select one, and list them", async () => {
    assert.equal(await ok("cluster", "list", "--json"), "");
    await ok("cluster", "use", "prod", PROD);
    await ok("cluster", "use", "test", TEST);
    assert.equal(await usedCluster(), TEST);
    await ok("cluster", "use", "prod");
    assert.equal(await usedCluster(), PROD);
    assert.deepEqual(jsonLines(await ok("cluster", "list", "--json")), [
      { schema: "ashlar.cluster-list/1", name: "prod", where: PROD, is_used: true },
      { schema: "ashlar.cluster-list/1", name: "test", where: TEST, is_used: false },
    ]);
    assert.match(await ok("cluster", "list"), /^\*\s+prod\s+10\.0\.0\.1/m);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(join(directory.path, "etc")), ["config.toml"]);
  });

  it("come after --cluster and ASHLAR_CLUSTER, which take names, too", async () => {
    await ok("cluster", "use", "test", TEST);
    await ok("cluster", "use", "prod", PROD);
    assert.equal(await usedCluster({ ASHLAR_CLUSTER: "10.0.0.9:1" }), "10.0.0.9:1");
    assert.equal(await usedCluster({ ASHLAR_CLUSTER: "test" }), TEST);
    const flag = await run(["config", "show", "--json", "--cluster", "test"], {
      ASHLAR_CLUSTER: "10.0.0.9:1",
    });
    assert.equal(jsonLines(flag.stdout)[0]?.["value"], TEST);
    const used = await run(["cluster", "use", "test"], { ASHLAR_CLUSTER: "prod" });
    assert.match(used.stderr, /ASHLAR_CLUSTER takes precedence/);
    // The name is the cluster that a command connects to.
    const refused = await run(["ls", "/"]);
    assert.match(refused.stderr, /127\.0\.0\.1:1/);
  });

  const KEPT: ReadonlyArray<readonly [string, string, string]> = [
    ["an empty file", "", `cluster = "n"\n\n[clusters]\nn = "${TEST}"\n`],
    [
      "comments, other settings and other tables",
      `# mine\ntimeout = "5s" # short\n\n# names\n[clusters] # all\nold = 'a:1'\n# end\n`,
      `# mine\ntimeout = "5s" # short\ncluster = "n"\n\n# names\n[clusters] # all\nold = 'a:1'\nn = "${TEST}"\n# end\n`,
    ],
    [
      "values that are replaced, and what follows them",
      `cluster = 'old' # "which"\r\n[clusters]\r\n"n" =  "${TEST}"\t# c\r\nold = "a:1"`,
      `cluster = "n" # "which"\r\n[clusters]\r\n"n" =  "${TEST}"\t# c\r\nold = "a:1"`,
    ],
    [
      "no line end at the end",
      `color = "never"`,
      `color = "never"\ncluster = "n"\n[clusters]\nn = "${TEST}"\n`,
    ],
  ];
  for (const [what, before, after] of KEPT) {
    it(`keep every other line: ${what}`, async () => {
      await configured(before);
      await ok("cluster", "use", "n", TEST);
      const text = await readFile(path, "utf8");
      assert.equal(text.replace(/^(color = "never"\n.*\n)\n/, "$1"), after);
      await ok("cluster", "use", "n");
      assert.equal(await readFile(path, "utf8"), text);
    });
  }

  it("refuse a form of the file that they cannot edit, and leave it unchanged", async () => {
    const texts = [
      `clusters = { old = "a:1" }\n`,
      `clusters.old = "a:1"\n`,
      `timeout = """5s"""\ncluster = """\na:1"""\n`,
    ];
    for (const text of texts) {
      await configured(text);
      const { status, stderr } = await run(["cluster", "use", "-f", "n", TEST]);
      assert.deepEqual([status, await readFile(path, "utf8")], [2, text]);
      assert.match(stderr, /Cannot edit .*: expected one line/);
    }
  });

  it("replace nothing without --force", async () => {
    await configured(`cluster = "10.0.0.7:7400"\n[clusters]\nn = "a:1"\n`);
    const text = await readFile(path, "utf8");
    for (const line of [["n"], ["n", TEST], ["other", TEST]]) {
      const { status, stderr } = await run(["cluster", "use", ...line]);
      assert.equal(status, 6, stderr);
    }
    assert.equal(await readFile(path, "utf8"), text);
    await ok("cluster", "use", "seven", "10.0.0.7:7400");
    await ok("cluster", "use", "-f", "n", TEST);
    assert.equal(
      await readFile(path, "utf8"),
      `cluster = "n"\n[clusters]\nn = "${TEST}"\nseven = "10.0.0.7:7400"\n`,
    );
  });

  it("refuse names and clusters that cannot be used", async () => {
    for (const name of ["", ".", "a b", "a:1", "a/b", "-x", "ü", "x".repeat(64)]) {
      assert.equal((await run(["cluster", "use", "--", name, TEST])).status, 2, name);
    }
    assert.equal((await run(["cluster", "use", "none"])).status, 3);
    const { status, stderr } = await run(["cluster", "use", "n", "no-directory"]);
    assert.equal(status, 2);
    assert.match(stderr, /Cannot use the cluster n: expected a directory/);
    await assert.rejects(stat(path), { code: "ENOENT" });
    for (const text of ["clusters = 1\n", "[clusters]\nn = 1\n", '[clusters]\n"a/b" = "a:1"\n']) {
      await configured(text);
      const result = await run(["cluster", "list"]);
      assert.equal(result.status, 2);
      assert.match(result.stderr, /expected a table of names and strings for "clusters"/);
    }
  });

  it("are followed by cluster forget, which removes a name and the selection of it", async () => {
    const text = `# mine\ncluster = "prod" # now\ncolor = "never"\n\n[clusters] # all\nprod = '${PROD}'\n"test" = "${TEST}" # old\n`;
    await configured(text);
    const unknown = await run(["cluster", "forget", "none"]);
    assert.equal(unknown.status, 3);
    assert.match(unknown.stderr, /current names are prod, test/);
    assert.equal(await readFile(path, "utf8"), text);

    await ok("cluster", "forget", "test");
    assert.equal(await readFile(path, "utf8"), text.replace(/"test" = .*\n/, ""));
    assert.equal(await usedCluster(), PROD);
    const { status, stderr } = await run(["cluster", "forget", "prod"]);
    assert.equal(status, 0);
    assert.match(
      stderr,
      /the cluster and its data are unchanged\n.*the config file selects no cluster now/,
    );
    assert.equal(await readFile(path, "utf8"), '# mine\ncolor = "never"\n\n[clusters] # all\n');
    const none = await run(["ls", "/"]);
    assert.equal(none.status, 2);
    assert.match(none.stderr, /hint: `ashlar cluster up .*`ashlar cluster use NAME/);
  });

  it("are followed by cluster forget, which keeps a `cluster` without a name", async () => {
    await configured(`cluster = "${TEST}"\n[clusters]\nprod = "${PROD}"\n`);
    assert.deepEqual(jsonLines(await ok("cluster", "forget", "prod", "--json")), [
      { schema: "ashlar.cluster-forget/1", name: "prod", where: PROD, was_used: false },
    ]);
    assert.equal(await readFile(path, "utf8"), `cluster = "${TEST}"\n[clusters]\n`);
    for (const form of [`clusters = { old = "a:1" }\n`, `clusters.old = "a:1"\n`]) {
      await configured(form);
      const { status, stderr } = await run(["cluster", "forget", "old"]);
      assert.deepEqual([status, await readFile(path, "utf8")], [2, form]);
      assert.match(stderr, /Cannot edit .*: expected one line/);
    }
  });

  it("keep a symbolic link to the file", async () => {
    await configured("");
    const link = join(directory.path, "link.toml");
    await symlink(path, link);
    const variables = { ASHLAR_CONFIG: link };
    assert.equal((await run(["cluster", "use", "n", TEST], variables)).status, 0);
    assert.match(await readFile(path, "utf8"), /cluster = "n"/);
  });
});
