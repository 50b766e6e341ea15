import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { FileSystem } from "../../../client/file-system.ts";
import { targetOf } from "../../../client/names/target.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { LoopbackCluster } from "../support/loopback-cluster.ts";

async function namesOf(entries: AsyncIterable<{ readonly displayName: string }>) {
  const names: string[] = [];
  for await (const entry of entries) names.push(entry.displayName);
  return names;
}

describe("the namespace", () => {
  let cluster: LoopbackCluster;
  let fs: FileSystem;
  before(async () => {
    cluster = await LoopbackCluster.start(0);
    fs = await cluster.connect();
  });
  after(() => cluster[Symbol.asyncDispose]());

  it("is changed by rename, copy, unlink, rmdir and removeTree", async () => {
    await fs.mkdir("/t/a/b", { parents: true });
    await fs.writeFile("/t/a/file", "one");
    await fs.rename("/t/a/file", "/t/a/b/moved");
    await fs.copy("/t/a/b/moved", "/t/copy");
    await assert.rejects(fs.rename("/t/copy", "/t/a/b/moved"), (error) =>
      isAshlarError(error, "ALREADY_EXISTS"),
    );
    await assert.rejects(fs.rmdir("/t/a"), (error) => isAshlarError(error, "NOT_EMPTY"));
    await fs.unlink("/t/a/b/moved");
    await fs.rmdir("/t/a/b");
    await fs.setAttributes("/t/copy", { mode: 0o600, mtimeMs: 5 });
    const attributes = await fs.stat("/t/copy");
    assert.equal(attributes.mode, 0o600);
    assert.equal(attributes.mtimeMs, 5);
    assert.deepEqual(await namesOf(fs.list("/t")), ["a", "copy"]);
    await fs.removeTree("/t");
    await assert.rejects(fs.stat("/t"), (error) => isAshlarError(error, "NOT_FOUND"));
  });

  it("is changed by a transaction completely or not at all (G3)", async () => {
    const create = (path: string) =>
      ({ kind: "create", target: targetOf(path), mode: 0o644, uid: 0, gid: 0 }) as const;
    await fs.transact([create("/x"), create("/y")]);
    const half = fs.transact([create("/z"), create("/x")]);
    await assert.rejects(half, (error) => isAshlarError(error, "ALREADY_EXISTS"));
    await assert.rejects(fs.stat("/z"), (error) => isAshlarError(error, "NOT_FOUND"));
    const { version } = await fs.stat("/x");
    const stale = {
      kind: "version",
      target: targetOf("/x"),
      version: (version - 1) as never,
    } as const;
    await assert.rejects(fs.transact([create("/z")], [stale]), (error) =>
      isAshlarError(error, "PRECONDITION_FAILED"),
    );
  });

  it("is listed at one index in pages of any size (G12)", async () => {
    await fs.mkdir("/pages");
    const names = Array.from(
      { length: 57 },
      (_, position) => `n${String(position).padStart(3, "0")}`,
    );
    await Promise.all(names.map((name) => fs.create(`/pages/${name}`)));
    const listed: string[] = [];
    for await (const entry of fs.list("/pages", { pageSize: 10 })) {
      if (listed.length === 15) {
        await fs.create("/pages/n0155");
        await fs.unlink("/pages/n040");
      }
      listed.push(entry.displayName);
    }
    assert.deepEqual(listed, names);
    const page = await fs.listPage("/pages", { limit: 56 });
    assert.equal(page.entries.length, 56);
    assert.ok(page.next !== null);
    const rest = await fs.listPage("/pages", { cursor: page.next });
    assert.deepEqual(
      rest.entries.map((entry) => entry.displayName),
      ["n056"],
    );
    assert.equal(rest.next, null);
  });

  it("is walked depth first and sorted at any depth", async () => {
    const deep = `/deep${"/d".repeat(600)}`;
    await fs.mkdir(deep, { parents: true });
    await fs.create(`${deep}/leaf`);
    const depths: number[] = [];
    let last = "";
    for await (const entry of fs.walk("/deep")) {
      depths.push(entry.depth);
      last = entry.path;
    }
    assert.equal(depths.length, 601);
    assert.equal(last, `${deep}/leaf`);

    for (const name of ["b", "a", "a/2", "a/1", "a-", "a/1/x"].sort()) {
      await fs.mkdir(`/wide/${name}`, { parents: true });
    }
    const paths: string[] = [];
    for await (const entry of fs.walk("/wide", { concurrency: 1 })) {
      paths.push(entry.path.slice(6));
    }
    assert.deepEqual(paths, ["a", "a/1", "a/1/x", "a/2", "a-", "b"]);
    const shallow = await namesOf(fs.walk("/wide", { depthMax: 1 }));
    assert.deepEqual(shallow, ["a", "a-", "b"]);
  });

  it("stores storage classes and applies them to new files", async () => {
    await fs.defineStorageClass({ name: "two", copies: 2, copiesMin: 1, racksMin: 1 });
    const names = (await fs.listStorageClasses()).map((each) => each.name);
    assert.deepEqual(names.toSorted(), ["default", "two"]);
    await fs.mkdir("/classed");
    await fs.setStorageClass("/classed", "two");
    await fs.create("/classed/file");
    assert.equal((await fs.stat("/classed/file")).storageClass, "two");
  });

  it("stores names that are not UTF-8", async () => {
    const path = Uint8Array.of(0x2f, 0xff, 0x0a);
    await fs.create(path);
    for await (const entry of fs.list("/")) {
      if (entry.displayName !== "\\xff\\n") continue;
      assert.deepEqual([...entry.name], [0xff, 0x0a]);
      return;
    }
    assert.fail("the listing contains the entry");
  });

  it("makes connect fail within its timeout when no master answers", async () => {
    const { connect } = await import("../../../client/connect.ts");
    const attempt = connect({ masters: ["127.0.0.1:1"], timeoutMs: 300 });
    await assert.rejects(attempt, (error) => isAshlarError(error, "UNAVAILABLE"));
    await assert.rejects(connect({ masters: ["nonsense"] }), (error) =>
      isAshlarError(error, "INVALID_ARGUMENT"),
    );
    const wrong = cluster.connect({ clusterId: "d".repeat(32) });
    await assert.rejects(wrong, (error) => isAshlarError(error, "WRONG_CLUSTER"));
  });
});
