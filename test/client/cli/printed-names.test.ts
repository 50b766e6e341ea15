import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { textOfBytes } from "../../../client/cli/argument-text.ts";
import { formatChecksumLine, parseChecksumLine } from "../../../client/cli/checksum-lines.ts";
import { readNames } from "../../../client/cli/names-file.ts";
import { Output } from "../../../client/cli/output.ts";
import { WaitLine } from "../../../client/cli/wait-line.ts";
import { jsonLines, MemoryCliEnv } from "../../support/memory-cli-env.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import { CliCluster } from "../support/cli-cluster.ts";

/** Names with every byte from 1 to 255 that a name can have, each name with some of them. */
const NAMES: readonly Buffer[] = [
  ...Array.from({ length: 255 }, (_, index) => index + 1)
    .filter((byte) => byte !== 0x2f)
    .map((byte) => Buffer.from([0x61, byte, 0x6e, byte])),
  Buffer.from("\\n\\\\\n\\x41"),
  Buffer.from(" leading and trailing "),
  Buffer.from("* [a]{b,c}?"),
  Buffer.from('it\'s $(touch x) `y` "z" !1'),
  Buffer.from("Übung 😀"),
];

const HASH = "0123456789abcdef".repeat(4);

describe("lines of checksums", () => {
  for (const isForTerminal of [false, true]) {
    it(`are read as they were written, ${isForTerminal ? "to a terminal" : "to a file"}`, () => {
      for (const name of NAMES) {
        const line = formatChecksumLine({ hash: HASH, path: name }, { isForTerminal });
        assert.equal(line.includes(0x0a), false);
        assert.deepEqual(Buffer.from(parseChecksumLine(line).path), name);
      }
    });
  }

  it("have the form of GNU coreutils in both directions", async () => {
    await using directory = await TempDirectory.make();
    for (const name of NAMES) {
      await writeFile(Buffer.concat([Buffer.from(`${directory.path}/`), name]), "content");
    }
    // sha256sum has hashes of the same length.
    const listed = spawnSync("sh", ["-c", "sha256sum -- *"], { cwd: directory.path });
    assert.equal(listed.status, 0);
    const lines = listed.stdout.toString("latin1").trimEnd().split("\n");
    const read = lines.map((line) => parseChecksumLine(Buffer.from(line, "latin1")));
    const expected = [...NAMES].sort(Buffer.compare);
    assert.deepEqual(read.map(({ path }) => Buffer.from(path)).sort(Buffer.compare), expected);
    const written = read.map((each) => formatChecksumLine(each, { isForTerminal: false }));
    const input = Buffer.concat(written.flatMap((line) => [line, Buffer.from("\n")]));
    const checked = spawnSync("sha256sum", ["--check", "--quiet"], { cwd: directory.path, input });
    assert.deepEqual([checked.status, checked.stderr.toString()], [0, ""]);
  });

  it("are refused if they are no lines of checksums", () => {
    for (const text of ["", HASH, `${HASH}  `, `${HASH} a`, `\\${HASH}  a\\q`, `\\${HASH}  a\\`]) {
      assert.throws(() => parseChecksumLine(Buffer.from(text)), { code: "INVALID_ARGUMENT" }, text);
    }
  });
});

describe("names that a command prints and a command reads", () => {
  let cluster: CliCluster;
  const paths = NAMES.map((name) => Buffer.concat([Buffer.from("/n/"), name]));
  const sorted = [...paths].sort(Buffer.compare);

  before(async () => {
    cluster = await CliCluster.start();
    await cluster.fs.mkdir("/n");
    await Promise.all(paths.map((path) => cluster.fs.writeFile(path, path)));
  });
  after(() => cluster[Symbol.asyncDispose]());

  it("pass from checksum to checksum --check", async () => {
    const { stdoutBytes } = await cluster.run(["checksum", "/n/*"]);
    const result = await cluster.run(["checksum", "--json", "--check", "-"], stdoutBytes);
    assert.equal(result.status, 0, result.stderr);
    assert.equal(jsonLines(result.stdout).filter(({ ok }) => ok === true).length, paths.length);
  });

  it("pass from ls --null to a list of names, and as arguments to a command", async () => {
    const { stdoutBytes } = await cluster.run(["ls", "--null", "/n"]);
    const env = new MemoryCliEnv({ input: stdoutBytes });
    const output = new Output(env, {
      json: false,
      quiet: false,
      verbosity: 0,
      color: "never",
      progress: "never",
      onClosed: "continue",
    });
    using waits = new WaitLine({ output, idle: "working" });
    const { signal } = new AbortController();
    const names = await readNames({ env, output, signal, waits }, "-", true);
    assert.deepEqual(names, sorted.map(textOfBytes));
    const listed = await cluster.run(["ls", "--null", ...names]);
    assert.deepEqual(listed.stdoutBytes, stdoutBytes);
  });

  it("pass from JSON to arguments", async () => {
    const { stdout } = await cluster.run(["ls", "--json", "/n"]);
    const listed = jsonLines(stdout).map(({ path, path_base64: base64 }) =>
      typeof base64 === "string" ? Buffer.from(base64, "base64") : Buffer.from(String(path)),
    );
    assert.deepEqual(listed, sorted);
  });

  it("can be the name of a local file that a command reads", async () => {
    await cluster.fs.mkdir("/list");
    for (const end of [Buffer.from("a\n\xff", "latin1"), ...NAMES.slice(-4)]) {
      const name = Buffer.concat([Buffer.from("file "), end]);
      const line = `{"op":"mkdir","path":"/list/${paths.length}","parents":true}`;
      await writeFile(Buffer.concat([Buffer.from(`${cluster.work}/`), name]), line);
      const { status, stderr } = await cluster.run(["txn", textOfBytes(name)]);
      assert.equal(status, 0, stderr);
    }
    const missing = await cluster.run(["txn", textOfBytes(Buffer.from("no\n\xff", "latin1"))]);
    assert.deepEqual(missing.stderr, "ashlar: Cannot read no\\n\\xff: no such file or directory\n");
  });

  it("are not changed by txn, which refuses text that is not UTF-8", async () => {
    const input = Buffer.from('{"op":"mkdir","path":"/list-\xff"}', "latin1");
    const { status, stderr } = await cluster.run(["txn", "-"], input);
    assert.equal(status, 2);
    assert.match(stderr, /expected text in UTF-8\n {2}hint: .*path_base64/);
    assert.equal(await cluster.fs.exists("/list-\uFFFD"), false);
  });

  it("are quoted in hints, so that a hint can be pasted", async () => {
    await cluster.fs.mkdir("/h/t", { parents: true });
    await cluster.fs.writeFile("/h/f", Buffer.from("f"));
    for (const name of [Buffer.from("Fotos Übung"), ...NAMES.slice(-4), Buffer.from("a\n\xff")]) {
      const path = Buffer.concat([Buffer.from("/h/"), name]);
      const text = textOfBytes(path);
      await cluster.fs.mkdir(path, { parents: true });
      const missing = `${text}/missing`;
      const lines = [
        ["rm", text],
        ["cp", text, "/h/t"],
        ["get", text, "."],
        ["mv", "/h/f", "/h/t", missing],
        ["put", "/h/f", `${missing}/`],
        ["restore", text],
        ["get", "/h/f", `${join(cluster.work, textOfBytes(name))}/`],
      ];
      for (const line of lines) {
        const { status, stderr } = await cluster.run(line);
        assert.notEqual(status, 0);
        const hint = /\n {2}hint: (.*)\n/.exec(stderr)?.[1] ?? "";
        const script = `ashlar() { printf '%s\\0' "$@"; }; mkdir() { printf '%s\\0' "$@"; }; ${hint}`;
        // Without --norc, bash reads ~/.bashrc if its stdin is a socket.
        const { stdout } = spawnSync("bash", ["--norc", "-c", script]);
        assert.ok(stdout.includes(name), `${line.join(" ")}: ${hint}`);
      }
    }
  });
});
