import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { FileSystem } from "../../../client/file-system.ts";
import { refusalOf, type Transaction, targetOf } from "../../../client/index.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { LoopbackCluster } from "../support/loopback-cluster.ts";

const MIB = 1024 * 1024;
const DAY_MS = 24 * 60 * 60 * 1_000;
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

describe("past states and transactions over the wire", () => {
  let cluster: LoopbackCluster;
  let fs: FileSystem;
  before(async () => {
    // The feature level of the cluster rises at its first checkpoint.
    cluster = await LoopbackCluster.start(3, { checkpointIntervalMs: 100 });
    fs = await cluster.connect();
    const clock = new SystemClock();
    const isRaised = () =>
      fs.setHistoryRetention(DAY_MS).then(
        () => true,
        () => false,
      );
    while (!(await isRaised())) await clock.sleep(50);
  });
  after(() => cluster[Symbol.asyncDispose]());

  const read = async (path: string, at?: number): Promise<string> =>
    text(await fs.readFile(path, at === undefined ? {} : { at }));

  async function pathsBelow(path: string, at?: number): Promise<string[]> {
    const paths: string[] = [];
    const options = at === undefined ? {} : { at };
    for await (const entry of fs.walk(path, options)) paths.push(entry.path);
    return paths;
  }

  it("reads a file, a listing and a tree as of an index and as of a time", async () => {
    const clock = new SystemClock();
    const bytes = new Uint8Array(2 * MIB).fill(7);
    await fs.mkdir("/past/d", { parents: true });
    await fs.writeFile("/past/d/small", "one");
    const { index } = await fs.writeFile("/past/d/large", bytes, { chunkSizeBytes: MIB });
    // Times have a resolution of one second.
    await clock.sleep(1_100);
    const timeMs = clock.wallMs();
    await clock.sleep(1_100);
    await fs.writeFile("/past/d/small", "two", { replace: true });
    await fs.unlink("/past/d/large");
    await fs.rename("/past/d", "/past/e");

    assert.equal(await read("/past/d/small", index), "one");
    assert.equal(Buffer.compare(await fs.readFile("/past/d/large", { at: index }), bytes), 0);
    assert.deepEqual(await pathsBelow("/past", index), [
      "/past/d",
      "/past/d/large",
      "/past/d/small",
    ]);
    assert.deepEqual(await pathsBelow("/past"), ["/past/e", "/past/e/small"]);
    const state = await fs.asOf({ timeMs });
    assert.ok(state.index >= index && state.index < fs.lastIndex);
    assert.equal(text(await fs.readFile("/past/d/small", { at: { timeMs } })), "one");
    const ago = Math.round(clock.wallMs() - timeMs);
    assert.equal((await fs.stat("/past/d/large", { at: { agoMs: ago } })).kind, "file");
    const page = await fs.listPage("/past/d", { at: index, limit: 1 });
    assert.equal(page.index, index);
    assert.ok(page.next !== null);
    const rest = await fs.listPage("/past/d", { cursor: page.next });
    assert.deepEqual(
      rest.entries.map((entry) => entry.displayName),
      ["small"],
    );
  });

  it("rejects a state before the history and a state beyond the log", async () => {
    const { oldestIndex, oldestTimeMs } = await fs.asOf(fs.lastIndex);
    const before = fs.asOf({ timeMs: oldestTimeMs - 60_000 });
    await assert.rejects(before, (error) => {
      assert.ok(isAshlarError(error, "INDEX_EXPIRED"));
      assert.deepEqual(error.details, { oldestIndex, oldestTimeMs });
      return true;
    });
    await assert.rejects(fs.stat("/", { at: fs.lastIndex + 1_000 }), (error) =>
      isAshlarError(error, "INVALID_ARGUMENT"),
    );
    await assert.rejects(fs.stat("/", { at: 1.5 }), (error) =>
      isAshlarError(error, "INVALID_ARGUMENT"),
    );
  });

  it("returns the history of a path over several pages", async () => {
    await fs.create("/changed");
    for (let version = 0; version < 250; version += 1) {
      await fs.setAttributes("/changed", { mode: version });
    }
    await fs.rename("/changed", "/changed.old");
    const changes: string[] = [];
    for await (const version of fs.history("/changed")) changes.push(version.change);
    assert.equal(changes.length, 252);
    assert.deepEqual(new Set(changes), new Set(["created", "attributes", "moved-away"]));
    for await (const version of fs.history("/changed.old")) {
      assert.equal(version.otherPath, "/changed");
    }
  });

  it("restores a file and a tree in one step, to the same path or another one", async () => {
    const bytes = new Uint8Array(MIB + 1).fill(9);
    await fs.mkdir("/r/sub/empty", { parents: true });
    await fs.writeFile("/r/sub/large", bytes, { chunkSizeBytes: MIB, mode: 0o600 });
    const { index } = await fs.writeFile("/r/small", "one");
    await fs.writeFile("/r/small", "two", { replace: true });
    await assert.rejects(fs.restore("/r/small", { at: index }), (error) =>
      isAshlarError(error, "ALREADY_EXISTS"),
    );
    const file = await fs.restore("/r/small", { at: index, replace: true });
    assert.deepEqual(
      [file.fileCount, file.directoryCount, file.sizeBytes, file.fromIndex],
      [1, 0, 3, index],
    );
    assert.equal(await read("/r/small"), "one");

    await fs.removeTree("/r/sub");
    await fs.create("/r/new");
    await assert.rejects(fs.restore("/r", { at: index }), (error) =>
      isAshlarError(error, "ALREADY_EXISTS"),
    );
    await fs.restore("/r", { at: index, to: "/r.then" });
    const then = ["/small", "/sub", "/sub/empty", "/sub/large"];
    assert.deepEqual(
      await pathsBelow("/r.then"),
      then.map((path) => `/r.then${path}`),
    );
    const tree = await fs.restore("/r", { at: index, replace: true });
    assert.deepEqual([tree.fileCount, tree.directoryCount], [2, 3]);
    assert.deepEqual(
      await pathsBelow("/r"),
      then.map((path) => `/r${path}`),
    );
    assert.equal(Buffer.compare(await fs.readFile("/r/sub/large"), bytes), 0);
    assert.equal((await fs.stat("/r/sub/large")).mode, 0o600);
    // The replaced tree is part of the history, too.
    assert.equal((await fs.stat("/r/new", { at: tree.index - 1 })).kind, "file");
    await assert.rejects(fs.restore("/nothing", { at: index }), (error) =>
      isAshlarError(error, "NOT_FOUND"),
    );
    await assert.rejects(fs.restore("/", { at: index }), (error) =>
      isAshlarError(error, "INVALID_ARGUMENT"),
    );
  });

  it("commits 1,000 operations in one transaction, and restores a tree of several steps atomically", async () => {
    await fs.mkdir("/many");
    const names = Array.from({ length: 1_000 }, (_, position) => `/many/${position}`);
    const making = fs.transaction();
    for (const name of names) making.create(name);
    const { index, inodes } = await making.commit();
    assert.equal(inodes.length, 1_000);
    assert.equal((await fs.listPage("/many", { limit: 10_000 })).entries.length, 1_000);
    for (let count = 0; count < 9_001; count += 1) making.create("/many/more");
    await assert.rejects(making.commit(), (error) => isAshlarError(error, "TOO_LARGE"));
    for (let start = 0; start < names.length; start += 250) {
      const removing = fs.transaction();
      for (const name of names.slice(start, start + 250)) removing.unlink(name);
      await removing.commit();
    }

    const before = await pathsBelow("/");
    let isRestored = false;
    const listing = (async () => {
      const seen = new Set<string>();
      while (!isRestored) for (const path of await pathsBelow("/")) seen.add(path);
      return seen;
    })();
    const restored = await fs.restore("/many", { at: index, replace: true });
    isRestored = true;
    const isMany = (path: string): boolean => path.startsWith("/many/");
    assert.deepEqual([...(await listing)].filter((path) => !isMany(path)).sort(), before.sort());
    assert.deepEqual([restored.fileCount, restored.directoryCount], [1_000, 1]);
    assert.equal((await pathsBelow("/many")).length, 1_000);
    // The tree appeared in one step: the state before shows none of it.
    assert.deepEqual(await pathsBelow("/many", restored.index - 1), []);
    assert.deepEqual((await pathsBelow("/", restored.index - 1)).sort(), before.sort());
  });

  it("leaves nothing of a restore that is aborted or refused at its end", async () => {
    const before = await pathsBelow("/");
    const { directoryCount } = (await fs.status()).namespace;
    const { version: index } = await fs.stat("/many");
    await assert.rejects(fs.restore("/many", { at: index, to: "/past" }), {
      code: "ALREADY_EXISTS",
    });
    assert.deepEqual(await pathsBelow("/"), before);
    assert.equal((await fs.status()).namespace.directoryCount, directoryCount);
  });

  it("reports which operation or precondition of a transaction was refused, and why (G3)", async () => {
    await fs.mkdir("/txn");
    const { version } = await fs.stat("/txn");
    const refused = async (transaction: Transaction) => {
      const error: unknown = await transaction.commit().then(
        () => null,
        (reason: unknown) => reason,
      );
      return refusalOf(error);
    };
    const operation = await refused(
      fs.transaction().create("/txn/a").mkdir("/txn/b").rmdir("/txn"),
    );
    assert.deepEqual(
      { ...operation, message: "" },
      {
        part: "operation",
        position: 2,
        code: "NOT_EMPTY",
        path: "/txn",
        expected: "an empty directory",
        found: {
          kind: "directory",
          version: operation?.found?.["version" as never],
          entryCount: 2,
        },
        message: "",
      },
    );
    assert.deepEqual(await pathsBelow("/txn"), []);
    const precondition = await refused(
      fs
        .transaction()
        .create("/txn/a")
        .ifExists("/txn")
        .ifVersion("/txn", version - 1),
    );
    assert.equal(precondition?.part, "precondition");
    assert.equal(precondition?.position, 1);
    assert.equal(precondition?.expected, `version ${version - 1}`);
    assert.deepEqual(precondition?.found, { kind: "directory", version, entryCount: 0 });
    assert.deepEqual(await pathsBelow("/txn"), []);
  });

  it("supports all operations, including content by reference", async () => {
    const bytes = new Uint8Array(2 * MIB).fill(3);
    await fs.writeFile("/ops.source", bytes, { chunkSizeBytes: MIB });
    const { index } = await fs.writeFile("/ops.gone", "gone");
    await fs.unlink("/ops.gone");
    let chunkId = "";
    for await (const result of fs.verify("/ops.source")) {
      if (result.kind === "chunk") chunkId = result.chunkId;
    }
    const chunk = { id: chunkId, lengthBytes: MIB };
    const root = (await fs.stat("/ops.source")) as { contentRoot: Uint8Array };
    await fs
      .transaction()
      .ifAbsent("/ops")
      .ifContentRoot("/ops.source", root.contentRoot)
      .mkdir("/ops/d", { parents: true })
      .put("/ops/text", "text", { mode: 0o600 })
      .put("/ops/large", { sizeBytes: MIB, chunkSizeBytes: MIB, chunks: [chunk] })
      .commitChunks("/ops/large", {
        sizeBytesExpected: MIB,
        sizeBytes: 2 * MIB,
        changes: [{ position: 1, expected: null, chunk }],
      })
      .copy("/ops/large", "/ops/copy")
      .restore("/ops.gone", index, "/ops/back")
      .create("/ops/x")
      .rename("/ops/x", "/ops/y")
      .unlink("/ops/y")
      .mkdir("/ops/e")
      .rmdir("/ops/e")
      .mkdir("/ops/f/g", { parents: true })
      .removeTree("/ops/f")
      .setAttributes("/ops/text", { mtimeMs: 5 })
      .setStorageClass("/ops/d", "default")
      .commit();
    assert.equal(Buffer.compare(await fs.readFile("/ops/copy"), bytes), 0);
    assert.equal(await read("/ops/back"), "gone");
    assert.deepEqual(
      await pathsBelow("/ops"),
      ["back", "copy", "d", "large", "text"].map((name) => `/ops/${name}`),
    );
    const unknown = fs
      .transaction()
      .put("/ops/no", {
        sizeBytes: MIB,
        chunkSizeBytes: MIB,
        chunks: [{ id: "0".repeat(64), lengthBytes: MIB }],
      })
      .commit();
    await assert.rejects(unknown, (error) => refusalOf(error)?.code === "CHUNKS_MISSING");
    const raw = { kind: "unlink", target: targetOf("/ops/back") } as const;
    assert.equal((await fs.transact([raw])).inodes[0], null);
  });
});
