import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { ClusterFileSystem } from "../../../client/cluster-file-system.ts";
import type { FileSystem } from "../../../client/file-system.ts";
import { targetOf } from "../../../client/names/target.ts";
import { refusalOf, type Transaction } from "../../../client/names/transaction.ts";
import { LoopbackCluster } from "../support/loopback-cluster.ts";

type Call = (fs: FileSystem, path: string) => unknown;

async function drain(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items);
}

async function finished(stream: NodeJS.EventEmitter): Promise<void> {
  await new Promise((resolve, reject) => {
    stream.on("error", reject).on("close", resolve).on("end", resolve);
  });
}

/** Calls that read a file, or a file or a directory. */
const READS: Readonly<Record<string, Call>> = {
  stat: (fs, path) => fs.stat(path),
  list: (fs, path) => drain(fs.list(path)),
  listPage: (fs, path) => fs.listPage(path),
  walk: (fs, path) => drain(fs.walk(path)),
  readFile: (fs, path) => fs.readFile(path),
  readText: (fs, path) => fs.readText(path),
  read: (fs, path) => drain(fs.read(path)),
  readSlabs: (fs, path) => drain(fs.readSlabs(path)),
  createReadStream: (fs, path) => finished(fs.createReadStream(path).resume()),
  readableStream: (fs, path) => drain(fs.readableStream(path)),
  open: (fs, path) => fs.open(path),
  checksum: (fs, path) => fs.checksum(path),
  verify: (fs, path) => drain(fs.verify(path)),
};
/** Calls that change the file or directory at the path, and accept "." as its last name. */
const CHANGES: Readonly<Record<string, Call>> = {
  setAttributes: (fs, path) => fs.setAttributes(path, { mode: 0o700 }),
  setStorageClass: (fs, path) => fs.setStorageClass(path, "standard"),
};
/** Calls that remove, rename or replace what is at the path. */
const REMOVALS: Readonly<Record<string, Call>> = {
  unlink: (fs, path) => fs.unlink(path),
  rmdir: (fs, path) => fs.rmdir(path),
  removeTree: (fs, path) => fs.removeTree(path),
  rename: (fs, path) => fs.rename(path, "/t/renamed"),
  copy: (fs, path) => fs.copy("/t/other", path, { replace: true }),
  writeFile: (fs, path) => fs.writeFile(path, "new", { replace: true }),
  createWriteStream: (fs, path) =>
    finished(fs.createWriteStream(path, { replace: true }).end("new")),
  writableStream: async (fs, path) => {
    const writer = fs.writableStream(path, { replace: true }).getWriter();
    await writer.write(new Uint8Array(1));
    await writer.close();
  },
  "rename to": (fs, path) => fs.rename("/t/other", path),
  "copy from": (fs, path) => fs.copy(path, "/t/copied"),
  restore: async (fs, path) =>
    fs.restore("/t/other", { at: fs.lastIndex, to: path, replace: true }),
  "restore from": async (fs, path) => fs.restore(path, { at: fs.lastIndex, replace: true }),
};
/** The methods of a transaction: the same rules hold. */
const STEPS: Readonly<Record<string, (transaction: Transaction, path: string) => Transaction>> = {
  unlink: (transaction, path) => transaction.unlink(path),
  rmdir: (transaction, path) => transaction.rmdir(path),
  removeTree: (transaction, path) => transaction.removeTree(path),
  rename: (transaction, path) => transaction.rename(path, "/t/renamed"),
  copy: (transaction, path) => transaction.copy("/t/other", path, { replace: true }),
  put: (transaction, path) => transaction.put(path, "new", { replace: true }),
  setAttributes: (transaction, path) => transaction.setAttributes(path, { mode: 0o700 }),
  setStorageClass: (transaction, path) => transaction.setStorageClass(path, "standard"),
  commitChunks: (transaction, path) =>
    transaction.commitChunks(path, { sizeBytesExpected: 4, sizeBytes: 4, changes: [] }),
};
const METHODS_WITHOUT_A_FILE = [
  // They create a name: see the tests below. mkdir makes a directory.
  ...["mkdir", "create"],
  // The path is a name, which need not exist.
  ...["history", "watch", "exists"],
];
const METHODS_WITHOUT_PATH = [
  ...["constructor", "lastIndex", "asOf", "transact", "transaction", "status", "masters", "backup"],
  ...[
    "defineStorageClass",
    "listStorageClasses",
    "trimHistory",
    "setHistoryRetention",
    "removeServer",
    "enrolment",
  ],
];

describe("the end of a path (path_resolution(7), rm(1), rmdir(2), rename(2))", () => {
  let cluster: LoopbackCluster;
  let fs: FileSystem;
  before(async () => {
    cluster = await LoopbackCluster.start(0);
    fs = await cluster.connect();
  });
  after(() => cluster[Symbol.asyncDispose]());

  beforeEach(async () => {
    await fs.mkdir("/t/d/sub", { parents: true });
    await fs.writeFile("/t/d/inner", "text", { replace: true });
    await fs.writeFile("/t/f", "text", { replace: true });
    await fs.writeFile("/t/other", "other", { replace: true });
  });

  /** Everything in the tree, with the inodes and versions. */
  async function snapshot(): Promise<readonly string[]> {
    const found: string[] = [];
    for await (const { path, attributes } of fs.walk("/")) {
      found.push(`${path} ${attributes.inode} ${attributes.version}`);
    }
    return found;
  }

  async function refused(call: () => unknown, code: string, what: string): Promise<void> {
    const tree = await snapshot();
    await assert.rejects(async () => call(), { code }, what);
    assert.deepEqual(await snapshot(), tree, `${what} changes nothing`);
  }

  it("is tested with every method of the library", () => {
    const tested = [...Object.keys({ ...READS, ...CHANGES, ...REMOVALS })].map((key) =>
      key.replace(/ (to|from)$/, ""),
    );
    const names = Object.getOwnPropertyNames(ClusterFileSystem.prototype);
    const known = [...tested, ...METHODS_WITHOUT_A_FILE, ...METHODS_WITHOUT_PATH];
    assert.deepEqual(
      names.filter((name) => !known.includes(name)),
      [],
    );
  });

  for (const [name, call] of Object.entries({ ...READS, ...CHANGES, ...REMOVALS })) {
    it(`${name} refuses "file/" and "file/." as not a directory`, async () => {
      await refused(() => call(fs, "/t/f/"), "NOT_A_DIRECTORY", `${name} /t/f/`);
      await refused(() => call(fs, "/t/f//"), "NOT_A_DIRECTORY", `${name} /t/f//`);
      if (name in REMOVALS && name !== "copy from") return;
      await refused(() => call(fs, "/t/f/."), "NOT_A_DIRECTORY", `${name} /t/f/.`);
    });
  }

  for (const [name, call] of Object.entries(REMOVALS)) {
    if (name === "copy from") continue;
    it(`${name} refuses a last name "." or ".."`, async () => {
      for (const path of ["/t/d/.", "/t/d/sub/..", "/t/d/sub/../", "/t/d/./", "/t/f/..", "/.."]) {
        await refused(() => call(fs, path), "INVALID_ARGUMENT", `${name} ${path}`);
      }
    });
  }

  for (const [name, step] of Object.entries(STEPS)) {
    it(`${name} of a transaction has the same rules, with the position of the operation`, async () => {
      const changed = (path: string): Promise<unknown> =>
        step(fs.transaction().setAttributes("/t/other", { mode: 0o600 }), path)
          .create("/t/never")
          .commit()
          .catch((error: unknown) => {
            assert.equal(refusalOf(error)?.position, 1, `${path}: ${String(error)}`);
            throw error;
          });
      await refused(() => changed("/t/f/"), "NOT_A_DIRECTORY", name);
      if (name.startsWith("set") || name === "commitChunks") return;
      await refused(() => changed("/t/d/sub/.."), "INVALID_ARGUMENT", name);
    });
  }

  it("with a slash is accepted where a directory is named", async () => {
    assert.equal((await fs.stat("/t/d/")).kind, "directory");
    assert.equal((await fs.stat("/t/d/sub/..")).inode, (await fs.stat("/t/d")).inode);
    await drain(fs.walk("/t/d/."));
    await fs.setAttributes("/t/d/", { mode: 0o711 });
    await fs.setAttributes("/t/d/.", { mode: 0o711 });
    await fs.setAttributes("/", { mode: 0o755 });
    await fs.setAttributes("/.", { mode: 0o755 });
    await fs.mkdir("/t/d/new/");
    await fs.mkdir("/t/d/new/.", { parents: true });
    await fs.rename("/t/d/new/", "/t/d/moved/");
    const { index, inode } = await fs.rename("/t/d/moved", "/t/d/again/");
    assert.ok(index > 0 && inode === (await fs.stat("/t/d/again")).inode);
    await fs.rmdir("/t/d/again/");
    await fs.removeTree("/t/d/");
    await assert.rejects(fs.stat("/t/d"), { code: "NOT_FOUND" });
  });

  it("with a slash is not the name of a new file", async () => {
    await refused(() => fs.create("/t/new/"), "NOT_A_DIRECTORY", "create");
    await refused(() => fs.writeFile("/t/new/", "a"), "NOT_A_DIRECTORY", "writeFile");
    await refused(() => fs.writeFile("/t/d/", "a"), "IS_A_DIRECTORY", "writeFile");
    await refused(() => fs.copy("/t/f", "/t/new/"), "NOT_A_DIRECTORY", "copy");
    await refused(() => fs.rename("/t/f", "/t/new/"), "NOT_A_DIRECTORY", "rename");
    await refused(() => fs.unlink("/t/d/"), "IS_A_DIRECTORY", "unlink");
    await refused(() => fs.create("/t/d/sub/.."), "INVALID_ARGUMENT", "create");
    await refused(() => fs.mkdir("/t/d/sub/.."), "INVALID_ARGUMENT", "mkdir");
  });

  it("with a slash of a missing path is not found", async () => {
    for (const [name, call] of Object.entries({ ...READS, ...CHANGES })) {
      await refused(() => call(fs, "/t/none/"), "NOT_FOUND", name);
    }
    for (const name of ["unlink", "rmdir", "removeTree", "rename", "copy from"]) {
      await refused(() => REMOVALS[name]?.(fs, "/t/none/"), "NOT_FOUND", name);
    }
  });

  it("is part of the conditions of a transaction", async () => {
    const create = (): Transaction => fs.transaction().create("/t/made");
    await refused(() => create().ifExists("/t/f/").commit(), "PRECONDITION_FAILED", "exists");
    await refused(() => create().ifAbsent("/t/f/").commit(), "PRECONDITION_FAILED", "absent");
    await create().ifExists("/t/d/").commit();
    await fs.unlink("/t/made");
    await create().ifAbsent("/t/none/").commit();
    await fs.unlink("/t/made");
  });

  it("is kept in the target of an operation object", async () => {
    const target = targetOf("/t/d/sub/..");
    const remove = (): Promise<unknown> => fs.transact([{ kind: "remove-tree", target }]);
    await refused(remove, "INVALID_ARGUMENT", "remove-tree");
  });
});
