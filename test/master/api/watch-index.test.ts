import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { WatchIndex } from "../../../master/api/watch-index.ts";
import type { FeedPlaces } from "../../../master/namespace/feed-query.ts";
import {
  type WatchedPath,
  watchedPath,
  watchedPathOf,
} from "../../../master/namespace/watched-path.ts";
import { parsePath } from "../../../shared/base/path.ts";
import { usedHeapBytes } from "../../support/used-heap.ts";

interface Watcher {
  readonly within: readonly string[];
  readonly path: WatchedPath;
}

const names = fc.array(fc.constantFrom("a", "b", "ab", "abc"), { maxLength: 4 });
const places: fc.Arbitrary<FeedPlaces> = fc.record({
  position: fc.constant({ index: 1 as never, sequence: 0 }),
  names: fc.option(names),
  fromNames: fc.option(names),
  affectsSubtree: fc.boolean(),
});

const startsWith = (long: readonly string[], short: readonly string[]): boolean =>
  short.every((name, index) => long[index] === name);

/** The rule of docs/library.md: events at or below the path, and moves or removals above it. */
function concerns(within: readonly string[], event: FeedPlaces): boolean {
  const { names: to, fromNames, affectsSubtree } = event;
  if (to === null && within.length === 0) return true;
  return [to, fromNames].some(
    (place) =>
      place !== null &&
      (startsWith(place, within) || (affectsSubtree && startsWith(within, place))),
  );
}

describe("the index of watchers by path", () => {
  it("finds the watchers that an event concerns, after any additions and removals", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(names, fc.boolean())), places, (added, event) => {
        const index = new WatchIndex<Watcher>();
        const left = new Set<Watcher>();
        const watchers = added.map(([within, stays]) => ({
          ...{ within, stays, path: watchedPathOf(within) },
        }));
        for (const watcher of watchers) index.add(watcher.path, watcher);
        for (const watcher of watchers) {
          if (watcher.stays) left.add(watcher);
          else index.delete(watcher.path, watcher);
        }
        assert.equal(index.size, left.size);
        assert.deepEqual(new Set(index.all()), left);
        assert.ok(index.nodeCount <= 1 + 2 * left.size, `${index.nodeCount} nodes`);
        const expected = [...left].filter(({ within }) => concerns(within, event));
        // The root also has the events of unfinished trees, one of whose places may be unknown.
        const found = [...new Set(index.concernedBy(event))];
        const isRoot = ({ within }: { within: readonly string[] }): boolean => within.length === 0;
        assert.deepEqual(
          new Set(found.filter((each) => !isRoot(each))),
          new Set(expected.filter((each) => !isRoot(each))),
        );
        for (const watcher of expected) assert.ok(found.includes(watcher));
      }),
    );
  });

  it("takes memory in proportion to the bytes of the paths, not to the number of their names", () => {
    const watchers = 100;
    const index = new WatchIndex<number>();
    const before = usedHeapBytes();
    let pathBytes = 0;
    for (let watcher = 0; watcher < watchers; watcher += 1) {
      const path = watchedPath(parsePath(`/${watcher}${"/ab".repeat(20_000)}`));
      pathBytes += path.length;
      index.add(path, watcher);
    }
    const grownBytes = usedHeapBytes() - before;
    assert.ok(index.nodeCount <= 1 + 2 * watchers, `${index.nodeCount} nodes`);
    assert.ok(grownBytes < 3 * pathBytes, `${grownBytes} bytes for paths of ${pathBytes} bytes`);
    assert.deepEqual([...index.all()].length, watchers);
  });

  it("retains no path of a watcher that has left", () => {
    const index = new WatchIndex<string>();
    let pathBytes = 0;
    const before = usedHeapBytes();
    for (let directory = 0; directory < 300; directory += 1) {
      const [first, second, long] = ["x", "z", `y${"/ab".repeat(20_000)}`].map((name) =>
        watchedPath(parsePath(`/${directory}/${name}`)),
      ) as [WatchedPath, WatchedPath, WatchedPath];
      pathBytes += long.length;
      index.add(first, "first");
      index.add(long, "long"); // Adds the node of the directory.
      index.add(second, "second");
      index.delete(long, "long");
    }
    const grownBytes = usedHeapBytes() - before;
    assert.ok(grownBytes < pathBytes / 4, `${grownBytes} bytes`);
    assert.equal([...index.all()].length, 600);
  });
});
