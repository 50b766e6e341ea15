import assert from "node:assert/strict";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import { ROOT } from "../support/repository.ts";
import { TempDirectory } from "../support/temp-directory.ts";
import { reachableFrom } from "./module-graph.ts";
import { installTarball, type PackedPackage, packRepository, run } from "./npm.ts";

/** Everything that the package may contain. */
const ALLOWED = [
  /^(?:README\.md|CHANGELOG\.md|LICENSE|NOTICE|package\.json)$/,
  /^scripts\/(?:ashlar|cli-bundle)\.cjs$/,
  /^dist\/client\/cli\/ashlar\.cjs(?:\.licenses\.txt)?$/,
  /^dist\/sbom\.spdx\.json$/,
  /^dist\/(?:client|shared)(?:\/[a-z0-9-]+){1,3}\.(?:js|d\.ts)$/,
  /^dist\/(?:master|chunkserver)(?:\/[a-z0-9-]+){1,2}\.js$/,
  /^dist\/client\/(?:cli|gateway)(?:\/[a-z0-9-]+){1,2}\.js$/,
];

/** The modules that the launcher and the exports of package.json load. */
const ENTRIES = [
  "dist/master/main.js",
  "dist/chunkserver/main.js",
  "dist/client/cli/main.js",
  "dist/client/gateway/main.js",
  "dist/client/index.js",
];

/** Text that only tests and their tools contain. */
const TEST_CODE = /node:test|node:assert|fast-check|@noble\/hashes|TempDirectory|SimulatedCluster/;

/** The program of a user of the library, compiled without any setting of this repository. */
const PROGRAM = `
import { type Attributes, connect, type FileSystem, isAshlarError } from "ashlar";

async function sizeOf(fs: FileSystem, path: string): Promise<number> {
  const attributes: Attributes = await fs.stat(path);
  return attributes.kind === "file" ? attributes.sizeBytes : 0;
}

await using fs = await connect({ masters: (process.env["MASTERS"] ?? "").split(",") });
const { index } = await fs.writeFile("/from-library", "written by the library");
const position: number = index;
// @ts-expect-error: the types are not "any", so a number is not assignable to a string.
const wrong: string = position;
const bytes: Uint8Array[] = [];
for await (const part of fs.read("/from-command")) bytes.push(part);
try {
  await fs.readFile("/missing");
} catch (error) {
  if (!isAshlarError(error)) throw error;
  console.log(error.code, await sizeOf(fs, "/from-library"), Buffer.concat(bytes).toString(), wrong);
}
`;

/** Those that the README names, and the strictest checks: no `lib` and no `types`. */
const COMPILER_SETTINGS = [
  ["--module", "NodeNext"],
  ["--target", "ES2022"],
  ["--skipLibCheck", "false"],
  ["--strict"],
].flat();

describe("the packed package", () => {
  let directory: TempDirectory;
  let packed: PackedPackage;
  /** Why nothing can be installed on this machine; null: the package is installed. */
  let obstacle: string | null;
  /** Path of the installed package. */
  let installed: string;

  before(async () => {
    directory = await TempDirectory.make();
    packed = await packRepository(directory.path);
    const { path } = directory;
    await writeFile(join(path, "package.json"), '{ "type": "module", "private": true }');
    obstacle = await installTarball(path, packed.tarball);
    installed = join(path, "node_modules", "ashlar");
  });

  after(() => directory[Symbol.asyncDispose]());

  /** Marks the test as skipped, with the reason, where the package is not installed. */
  function isSkipped(context: TestContext): boolean {
    if (obstacle !== null) context.skip(obstacle);
    return obstacle !== null;
  }

  /** Runs the installed command, a link in node_modules/.bin, to its end. */
  const ashlar = (commandArguments: readonly string[], environment = {}) =>
    run(join(directory.path, "node_modules", ".bin", "ashlar"), commandArguments, {
      cwd: directory.path,
      env: environment,
    });

  it("contains only files of the allow-list", () => {
    const others = packed.files.filter((file) => !ALLOWED.some((pattern) => pattern.test(file)));
    assert.deepEqual(others, []);
    for (const entry of [
      ...ENTRIES,
      "scripts/ashlar.cjs",
      "scripts/cli-bundle.cjs",
      "dist/client/cli/ashlar.cjs",
      "dist/client/cli/ashlar.cjs.licenses.txt",
      "LICENSE",
      "NOTICE",
      "dist/sbom.spdx.json",
    ]) {
      assert.ok(packed.files.includes(entry), `${entry} is packed`);
    }
  });

  it("has nothing that publint reports", async () => {
    const linter = join(ROOT, "node_modules", "publint", "src", "cli.js");
    const parameters = [linter, packed.tarball, "--strict"];
    const { status, stdout } = await run(process.execPath, parameters, { cwd: directory.path });
    assert.equal(status, 0, stdout);
    // A suggestion does not change the exit status.
    assert.match(stdout, /All good!/);
  });

  it("contains every module that an entry point loads, no other module and no test code", async (context) => {
    if (isSkipped(context)) return;
    const reachable = await reachableFrom(installed, ENTRIES);
    assert.deepEqual(missingFrom(packed.files, reachable), []);
    for (const file of packed.files.filter((name) => name.endsWith(".js"))) {
      const text = await readFile(join(installed, file), "utf8");
      const code = text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "").trim();
      assert.doesNotMatch(code, TEST_CODE, file);
      // A module of types alone is compiled to an empty module, which no other module imports.
      if (!reachable.has(file)) assert.equal(code, "export {};", `${file} is not loaded`);
    }
  });

  it("contains every declaration that the public types refer to", async (context) => {
    if (isSkipped(context)) return;
    // TypeScript resolves "./x.ts" in a declaration file to "./x.d.ts".
    const toFile = (path: string) => path.replace(/\.(?:ts|js)$/, ".d.ts");
    const reachable = await reachableFrom(installed, ["dist/client/index.d.ts"], toFile);
    assert.deepEqual(missingFrom(packed.files, reachable), []);
  });

  it("lists the runtime dependencies and no registry in the bill of materials", async (context) => {
    if (isSkipped(context)) return;
    const text = await readFile(join(installed, "dist/sbom.spdx.json"), "utf8");
    const { packages } = JSON.parse(text) as { packages: { name: string; versionInfo: string }[] };
    const listed = new Set(packages.map(({ name, versionInfo }) => `${name}@${versionInfo}`));
    const manifest = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
    for (const [name, version] of Object.entries(manifest.dependencies)) {
      assert.ok(listed.has(`${name}@${version}`), name);
    }
    assert.doesNotMatch(text, /"downloadLocation": "(?!NOASSERTION)/);
  });

  it("installs the command: its version, its help", async (context) => {
    if (isSkipped(context)) return;
    const { path } = directory;
    const version = await run("npx", ["--no", "--", "ashlar", "--version"], { cwd: path });
    assert.deepEqual([version.status, version.stdout], [0, "ashlar 0.1.0\n"], version.stderr);
    const help = await ashlar(["--help"]);
    assert.equal(help.status, 0, help.stderr);
    assert.match(help.stdout, /^Usage: ashlar /);
  });

  it("starts a cluster that serves the command and a compiled program", async (context) => {
    if (isSkipped(context)) return;
    const cluster = join(directory.path, "cluster");
    const environment = { ASHLAR_CLUSTER: cluster };
    const options = ["--masters", "1", "--chunkservers", "1", "--base-port", "0", "--wait", "60s"];
    const up = await ashlar(["cluster", "up", ...options], environment);
    try {
      assert.equal(up.status, 0, up.stderr);
      const source = join(directory.path, "source");
      await writeFile(source, "written by the command");
      const put = await ashlar(["put", source, "/from-command"], environment);
      assert.equal(put.status, 0, put.stderr);
      const get = await ashlar(["get", "/from-command", `${source}.again`], environment);
      assert.equal(get.status, 0, get.stderr);
      assert.equal(await readFile(`${source}.again`, "utf8"), "written by the command");

      const output = await runProgram(directory.path, await mastersOf(cluster));
      assert.match(output, /^NOT_FOUND 22 written by the command \d+\n$/);
    } finally {
      const down = await ashlar(["cluster", "down"], environment);
      assert.equal(down.status, 0, down.stderr);
    }
  });
});

function missingFrom(files: readonly string[], wanted: Iterable<string>): readonly string[] {
  return [...wanted].filter((file) => !files.includes(file));
}

/** Addresses of the masters of a local cluster, separated by commas. */
async function mastersOf(directory: string): Promise<string> {
  const { nodes } = JSON.parse(await readFile(join(directory, "cluster.json"), "utf8"));
  const masters = (nodes as { role: string; address: string }[]).filter(
    ({ role }) => role === "master",
  );
  return masters.map(({ address }) => address).join(",");
}

/** Compiles PROGRAM in a folder where the package is installed. Returns what it prints. */
async function runProgram(directory: string, masters: string): Promise<string> {
  await mkdir(join(directory, "node_modules", "@types"), { recursive: true });
  // The types of Node are those of this repository: a link saves an installation.
  const types = join("node_modules", "@types", "node");
  await symlink(join(ROOT, types), join(directory, types), "junction");
  await writeFile(join(directory, "program.ts"), PROGRAM);
  const compiler = join(ROOT, "node_modules", "typescript", "bin", "tsc");
  const parameters = [compiler, ...COMPILER_SETTINGS, "program.ts"];
  const compiled = await run(process.execPath, parameters, { cwd: directory });
  assert.equal(compiled.status, 0, compiled.stdout);
  const options = { cwd: directory, env: { MASTERS: masters } };
  const { status, stdout, stderr } = await run(process.execPath, ["program.js"], options);
  assert.equal(status, 0, stderr);
  return stdout;
}
