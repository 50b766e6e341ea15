import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  symlink,
  writeFile,
} from "node:fs/promises";
import { createServer } from "node:net";
import { after, before, describe, it } from "node:test";
import type { FileSystem } from "../../../../client/file-system.ts";
import { CliWork } from "../../support/cli-work.ts";
import { setTime, statsOf, timeOf } from "../../support/local-times.ts";
import { LoopbackCluster } from "../../support/loopback-cluster.ts";

const MIB = 1024 * 1024;
const MODES = [0o644, 0o600, 0o755, 0o444, 0o4755, 0o2711, 0o1777, 0o000];
const TIMES = [0, 1, -1, -1500, -86_400_000, 1_732_786_800_123, 4_102_444_800_999, -2e11 - 1];
/** Entries that a put leaves out, and what it says of them. */
const LEFT_OUT = {
  "link-to-directory": "symbolic link to a directory",
  dangling: "symbolic link that is dangling",
  fifo: "a FIFO",
  socket: "a socket",
};

/** Names that tools have mistaken for options, patterns, quotes, links or text, as bytes. */
const NAMES = [
  " ",
  "-r",
  "--",
  "*",
  "?",
  "[a]",
  "{a,b}",
  "a\\b",
  'a"b',
  "a'b",
  "a`b",
  "$(x)",
  "a\nb",
  "a\tb",
  "\x01",
  "\x7f",
  "\xff\xfe",
  "caf\xc3\xa9",
  "cafe\xcc\x81",
  "\xf0\x9f\x98\x80",
  "~",
  "#x",
  "a b",
  "a  ",
  "...",
  ".hidden",
  "%41",
  "a:b",
  "ashlar:",
  "a;b",
  "a|b",
  "a&b",
  "<a>",
  "!",
  "COM1",
  "a.",
  "-",
  "CON",
  "\xe2\x80\xae",
  "n".repeat(255),
];

/** Makes a tree of what a user can have on a disk. */
async function makeTree(source: string): Promise<void> {
  await mkdir(`${source}/d/e`, { recursive: true });
  for (const [index, name] of NAMES.entries()) {
    const path = Buffer.from(`${source}/d/${name}`, "latin1");
    await writeFile(path, `content of ${index}`);
    await chown(path, 1000 + index, 2000);
    await chmod(path, MODES[index % MODES.length] ?? 0);
    await setTime(path, TIMES[index % TIMES.length] ?? 0);
  }
  const holes = await open(`${source}/holes`, "w");
  await holes.truncate(40 * MIB + 5);
  await holes.write(Buffer.from("island"), 0, 6, 20 * MIB + 100);
  await holes.close();
  await link(`${source}/holes`, `${source}/z-hard`);
  await symlink("d", `${source}/link-to-directory`);
  await symlink("holes", `${source}/link-to-file`);
  await symlink("nowhere", `${source}/dangling`);
  execFileSync("mkfifo", [`${source}/fifo`]);
  await writeFile(`${source}/d/e/file`, "x");
  await chmod(`${source}/d/e`, 0o555);
  await setTime(`${source}/d/e`, 1000);
  await setTime(`${source}/d`, -5000);
  await chmod(source, 0o750);
}

/** Compares a file or a tree with its copy. @returns the number of entries that are the same */
async function compare(original: Buffer, copy: Buffer): Promise<number> {
  const name = original.toString("latin1");
  const [before, after] = [await statsOf(original), await statsOf(copy)];
  assert.equal(Number(after.mode) & 0o7777, Number(before.mode) & 0o7777, `mode of ${name}`);
  assert.deepEqual([after.uid, after.gid], [before.uid, before.gid], `owner of ${name}`);
  assert.equal(timeOf(after), timeOf(before), `time of ${name}`);
  if (before.isFile()) {
    assert.equal(Buffer.compare(await readFile(copy), await readFile(original)), 0, name);
    return 1;
  }
  let count = 1;
  for (const entry of await readdir(original, { encoding: "buffer" })) {
    const text = entry.toString("latin1");
    if (text in LEFT_OUT || text === "link-to-file") continue;
    const below = (directory: Buffer): Buffer =>
      Buffer.concat([directory, Buffer.from("/"), entry]);
    count += await compare(below(original), below(copy));
  }
  return count;
}

describe("a tree of what a user can have", () => {
  let cluster: LoopbackCluster;
  let fileSystem: FileSystem;
  before(async () => {
    cluster = await LoopbackCluster.start(3);
    fileSystem = await cluster.connect();
  });
  after(() => cluster[Symbol.asyncDispose]());

  it("is the same after put and get with -r -p, and the command names what differs", async () => {
    await using work = await CliWork.make(cluster, fileSystem);
    const [source, back] = [`${work.path}/source`, `${work.path}/back`];
    await makeTree(source);
    const socket = createServer().listen(`${source}/socket`);
    try {
      const put = await work.fails(
        8,
        /put 44 files.*4 failed/,
        "put",
        "-r",
        "-p",
        "source",
        "/source",
      );
      for (const [name, reason] of Object.entries(LEFT_OUT)) {
        assert.ok(
          put.stderr.includes(`source/${name}: it is a ${reason.replace(/^a /, "")}`),
          name,
        );
      }
      assert.match(
        put.stderr,
        /Symbolic links, stored as the files that they name: 1 \(source\/link-to-file\)/,
      );
      assert.match(put.stderr, /Names of hard links, stored as separate files: 2 /);
      const get = await work.ok("get", "-r", "-p", "/source", "back");
      assert.doesNotMatch(get.stderr, /owners/);
      // The root, two directories, the odd names, the file in e and the two names of the holes.
      assert.equal(await compare(Buffer.from(source), Buffer.from(back)), 3 + NAMES.length + 3);
    } finally {
      socket.close();
    }
    assert.ok((await statsOf(`${back}/link-to-file`)).isFile());
    const { blocks } = await statsOf(`${back}/holes`);
    assert.ok(blocks * 512n < BigInt(MIB), `${blocks} blocks of a file of holes`);
    for (const name of Object.keys(LEFT_OUT)) {
      await assert.rejects(lstat(`${back}/${name}`), { code: "ENOENT" });
    }
  });
});
