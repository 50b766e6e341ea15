import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { FileSystem } from "../../../client/file-system.ts";
import { targetOf } from "../../../client/names/target.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { InodeId } from "../../../shared/base/ids.ts";
import { LoopbackCluster } from "../support/loopback-cluster.ts";

const CALLERS = 64;
const CREATES_EACH = 40;
/** Creates of a transaction with more bytes than one combined call may have. */
const LARGE_COUNT = 900;
const LARGE_NAME_LENGTH = 200;

/**
 * Runs many callers that create different files, and calls `disturb` after every create. A create
 * that took effect twice would fail with ALREADY_EXISTS.
 */
async function createMany(fs: FileSystem, disturb: (done: number) => void): Promise<number[]> {
  const indexes: number[] = [];
  const caller = async (name: number): Promise<void> => {
    for (let at = 0; at < CREATES_EACH; at += 1) {
      const { index } = await fs.create(`/many/${name}-${at}`, { timeoutMs: 60_000 });
      indexes.push(index);
      disturb(indexes.length);
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, (_, name) => caller(name)));
  return indexes;
}

async function countOf(entries: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of entries) count += 1;
  return count;
}

describe("calls that are combined", () => {
  it("take effect exactly once each while the leader changes and stops (G4)", async () => {
    await using cluster = await LoopbackCluster.start(0, { masterCount: 3 });
    const retried: string[] = [];
    const fs = await cluster.connect({ onRetry: ({ error }) => retried.push(error.code) });
    await fs.mkdir("/many");
    const disturbances: Promise<unknown>[] = [];
    const indexes = await createMany(fs, (done) => {
      if (done % 400 === 0 && done < 1_600) {
        disturbances.push(fs.masters.transfer(null).catch(() => {}));
      }
      if (done === 1_800) disturbances.push(cluster.masters.leader()?.stop() ?? Promise.resolve());
    });
    await Promise.all(disturbances);
    assert.ok(retried.length > 0, "at least one attempt was repeated");
    assert.equal(
      new Set(indexes).size,
      CALLERS * CREATES_EACH,
      "each create has its own log entry",
    );
    assert.equal(await countOf(fs.list("/many")), CALLERS * CREATES_EACH);
  });

  it("send a large transaction in a call of its own", async () => {
    await using cluster = await LoopbackCluster.start(0);
    const fs = await cluster.connect();
    await fs.mkdir("/large");
    const create = (name: number) =>
      ({
        kind: "create",
        target: targetOf(`/large/${String(name).padStart(LARGE_NAME_LENGTH, "0")}`),
        mode: 0o644,
        uid: 0,
        gid: 0,
      }) as const;
    const large = fs.transact(Array.from({ length: LARGE_COUNT }, (_, name) => create(name)));
    const small = [fs.create("/a"), fs.create("/b")];
    const { inodes } = await large;
    assert.equal(new Set(inodes).size, LARGE_COUNT);
    await Promise.all(small);
    assert.equal(await countOf(fs.list("/large")), LARGE_COUNT);
  });

  it("reject an invalid item without an effect on the other items", async () => {
    await using cluster = await LoopbackCluster.start(0);
    const fs = await cluster.connect();
    const strange = fs.transact([{ kind: "unlink", target: { inode: 0 as InodeId } }]);
    const refused = assert.rejects(strange, (error) => isAshlarError(error, "PROTOCOL_ERROR"));
    await Promise.all([fs.create("/one"), fs.create("/two")]);
    await refused;
    const [one, none, two] = await Promise.allSettled(
      ["/one", "/none", "/two"].map((path) => fs.stat(path)),
    );
    assert.equal(one?.status, "fulfilled");
    assert.equal(two?.status, "fulfilled");
    assert.ok(none?.status === "rejected" && isAshlarError(none.reason, "NOT_FOUND"));
  });
});
