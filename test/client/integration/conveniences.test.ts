import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { connect } from "../../../client/connect.ts";
import type { FileSystem } from "../../../client/file-system.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import { writeClusterFile } from "../../../shared/platform/local-cluster-file.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import { LoopbackCluster } from "../support/loopback-cluster.ts";

/** Names of all kinds, as bytes. The last ones are not UTF-8. */
const NAMES = [
  "plain",
  "ä€😀",
  " x\n",
  "\ufeffb",
  "%2f\\",
  "\xff",
  "a\xc3",
  "\xed\xa0\x80",
  "\xff\xfe z",
];
const latin1 = (text: string): Buffer =>
  Buffer.from(`/n/${text}`, /[^\0-\xff]/.test(text) ? "utf8" : "latin1");

async function all<Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

/** Every call that creates a file or directory, or moves one, to `/t/to`. */
const WRITERS: Readonly<
  Record<string, (fs: FileSystem, options: { readonly replace?: boolean }) => Promise<unknown>>
> = {
  writeFile: (fs, options) => fs.writeFile("/t/to", "new", options),
  createWriteStream: (fs, options) =>
    new Promise((resolve, reject) => {
      fs.createWriteStream("/t/to", options).on("error", reject).on("finish", resolve).end("new");
    }),
  writableStream: async (fs, options) => {
    const writer = fs.writableStream("/t/to", options).getWriter();
    writer.closed.catch(() => {});
    await writer.write(new TextEncoder().encode("new"));
    await writer.close();
  },
  rename: (fs, options) => fs.rename("/t/from", "/t/to", options),
  copy: (fs, options) => fs.copy("/t/from", "/t/to", options),
  restore: (fs, options) => fs.restore("/t/from", { ...options, at: fs.lastIndex, to: "/t/to" }),
  "transaction.put": (fs, options) => fs.transaction().put("/t/to", "new", options).commit(),
  "transaction.rename": (fs, options) =>
    fs.transaction().rename("/t/from", "/t/to", options).commit(),
  "transaction.copy": (fs, options) => fs.transaction().copy("/t/from", "/t/to", options).commit(),
  "transaction.restore": (fs, options) =>
    fs.transaction().restore("/t/from", fs.lastIndex, "/t/to", options).commit(),
};

describe("the library", () => {
  let cluster: LoopbackCluster;
  let fs: FileSystem;
  before(async () => {
    cluster = await LoopbackCluster.start(0);
    fs = await cluster.connect();
  });
  after(() => cluster[Symbol.asyncDispose]());

  beforeEach(async () => {
    await fs.mkdir("/t", { parents: true });
    await fs.writeFile("/t/from", "new", { replace: true });
    await fs.writeFile("/t/to", "old", { replace: true });
  });

  for (const [name, write] of Object.entries(WRITERS)) {
    it(`${name} replaces only with \`replace: true\``, async () => {
      for (const options of [{}, { replace: false }]) {
        await assert.rejects(write(fs, options), { code: "ALREADY_EXISTS" });
        assert.equal(await fs.readText("/t/to"), "old");
      }
      await write(fs, { replace: true });
      assert.equal(await fs.readText("/t/to"), "new");
    });
  }

  it("shows paths as text that every call accepts, and as bytes", async () => {
    await fs.mkdir("/n");
    const watched = fs.watch("/n", { from: fs.lastIndex })[Symbol.asyncIterator]();
    await watched.next();
    for (const name of NAMES) {
      const bytes = latin1(name);
      await fs.create(bytes);
      const event = (await watched.next()).value;
      assert.deepEqual(Buffer.from(event?.pathBytes ?? []), bytes);
      assert.equal((await fs.stat(event?.path ?? "")).inode, event?.inode);
    }
    await watched.return?.();
    let count = 0;
    for await (const entry of fs.walk("/n")) {
      count += 1;
      assert.equal(typeof entry.path, "string");
      assert.equal(JSON.parse(JSON.stringify(entry.path)), entry.path);
      assert.equal((await fs.stat(entry.path)).inode, entry.attributes.inode);
      assert.equal((await fs.stat(entry.pathBytes)).inode, entry.attributes.inode);
      for await (const result of fs.verify(entry.path)) assert.equal(result.path, entry.path);
      await fs.rename(entry.path, `${entry.path}-moved`);
      const versions = await all(fs.history(entry.path));
      assert.equal(versions.at(-1)?.otherPath, `${entry.path}-moved`);
    }
    assert.equal(count, NAMES.length);
    await fs.removeTree("/n");
  });

  it("reads text, and reports if a path exists", async () => {
    await fs.writeFile("/t/text", "\ufeffgrüße");
    assert.equal(await fs.readText("/t/text"), "\ufeffgrüße");
    assert.equal(await fs.readText("/t/text", { start: 3, end: 5 }), "gr");
    for (const [path, expected] of Object.entries({
      "/": true,
      "/t": true,
      "/t/": true,
      "/t/text": true,
      "/t/text/": false,
      "/t/text/below": false,
      "/none": false,
      "/none/below": false,
    })) {
      assert.equal(await fs.exists(path), expected, path);
    }
    const at = fs.lastIndex;
    await fs.unlink("/t/text");
    assert.deepEqual(
      [await fs.exists("/t/text"), await fs.exists("/t/text", { at })],
      [false, true],
    );
    await assert.rejects(fs.exists("relative"), { code: "INVALID_ARGUMENT" });
  });

  it("fails with an AbortError and the code CANCELLED if the caller aborts", async () => {
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    const calls: readonly (() => Promise<unknown>)[] = [
      () => fs.stat("/t", { signal }),
      () => fs.create("/t/new", { signal }),
      () => fs.readFile("/t/to", { signal }),
      () => fs.writeFile("/t/new", "a", { signal }),
      () => fs.status({ signal }),
      () => all(fs.walk("/t", { signal })),
      () => all(fs.watch("/t", { signal })),
      () => connect({ masters: cluster.masterAddresses, signal }),
    ];
    for (const call of calls) {
      await assert.rejects(call, { name: "AbortError", code: "CANCELLED" }, String(call));
    }
    assert.equal(new AshlarError("NOT_FOUND", "No").name, "AshlarError");
  });

  it("has the frame of the caller in the stack of every error", async () => {
    const calls: Readonly<Record<string, () => Promise<unknown>>> = {
      stat: async () => await fs.stat("/none"),
      unlink: async () => await fs.unlink("/none"),
      transaction: async () => await fs.transaction().unlink("/none").commit(),
      readFile: async () => await fs.readFile("/none"),
      writeFile: async () => await fs.writeFile("/none/file", "text"),
      restore: async () => await fs.restore("/none", { at: 1 }),
      masters: async () => await fs.masters.remove([99]),
      list: async () => {
        for await (const _ of fs.list("/none"));
      },
      read: async () => {
        for await (const _ of fs.read("/none"));
      },
      watch: async () => {
        for await (const _ of fs.watch("/", { from: 1e15 }));
      },
      handle: async () => {
        const file = await fs.open("/t/to");
        await file.close();
        await file.read({ position: 0, lengthBytes: 1 });
      },
    };
    for (const [name, call] of Object.entries(calls)) {
      const error = await call().then(
        () => assert.fail(`${name} fails`),
        (caught: unknown) => caught,
      );
      assert.ok(error instanceof AshlarError, `${name}: ${String(error)}`);
      assert.match(error.stack ?? "", /conveniences\.test/, name);
    }
  });

  it("connects to the directory of a local cluster", async () => {
    await using directory = await TempDirectory.make();
    const { clusterId } = await fs.status();
    const nodes = cluster.masterAddresses.map((address, index) => ({
      name: `m${index + 1}`,
      role: "master" as const,
      address,
      http: "127.0.0.1:1",
    }));
    await writeClusterFile(directory.path, { schema: "ashlar.local-cluster/1", clusterId, nodes });
    await using other = await connect({ cluster: directory.path });
    assert.equal((await other.status()).clusterId, clusterId);
    await using listed = await connect({ cluster: cluster.masterAddresses.join(",") });
    assert.ok(await listed.exists("/t"));
    const both = { cluster: directory.path, masters: cluster.masterAddresses };
    for (const options of [{}, both, { cluster: "/none" }, { cluster: "" }, { masters: [] }]) {
      await assert.rejects(connect(options), { code: "INVALID_ARGUMENT" });
    }
    await using empty = await TempDirectory.make();
    await assert.rejects(connect({ cluster: empty.path }), { code: "NOT_FOUND" });
  });
});
