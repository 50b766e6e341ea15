import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { mergeTrees } from "../../../client/cli/sync/merge-trees.ts";
import type { SyncEntry } from "../../../client/cli/sync/sync-tree.ts";

async function* walkOf(paths: readonly string[]): AsyncGenerator<SyncEntry, void, void> {
  for (const path of paths) {
    const error = new Error(path);
    yield { kind: "failed", relative: Buffer.from(path), error, canHaveEntries: true };
  }
}

/** Merges two walks. @returns the pairs as "path:sides"; after a path in `skipped` it calls `skip` */
async function merge(source: string, target: string, ...skipped: string[]): Promise<string> {
  const found: string[] = [];
  const walk = (paths: string) => walkOf(paths.split(" ").filter((path) => path !== ""));
  for await (const pair of mergeTrees(walk(source), walk(target))) {
    const sides = `${pair.source === null ? "" : "s"}${pair.target === null ? "" : "t"}`;
    found.push(`${pair.relative}:${sides}`);
    if (skipped.includes(found.at(-1) ?? "")) pair.skip();
  }
  return found.join(" ");
}

describe("the merge of two walks", () => {
  it("pairs the entries of one path, in the order of the walks", async () => {
    assert.equal(await merge("a a/x a-b", "a a-b b"), "a:st a/x:s a-b:st b:t");
    assert.equal(await merge("", "a b"), "a:t b:t");
    assert.equal(await merge("a", ""), "a:s");
  });

  it("leaves out what is below a path, also entries that are read already", async () => {
    assert.equal(await merge("a a/x a-b", "a a/y b", "a:st"), "a:st a-b:s b:t");
    // A directory that cannot be listed is yielded a second time, on one side alone.
    assert.equal(await merge("d d/x e", "d d d/y e", "d:t"), "d:st d:t e:st");
    assert.equal(await merge("d d e", "d d/x/y e", "d:s"), "d:st d:s e:st");
    assert.equal(await merge("d d/x", "d e", "d:st"), "d:st e:t");
  });
});
