import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { WatchIndex } from "../../../master/api/watch-index.ts";
import type { FeedPlaces } from "../../../master/namespace/feed-query.ts";
import type { ByteText } from "../../../master/namespace/keys.ts";

const names = fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 4 }) as fc.Arbitrary<
  ByteText[]
>;
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
        const index = new WatchIndex<{ readonly within: readonly ByteText[] }>();
        const left = new Set<{ readonly within: readonly ByteText[] }>();
        const watchers = added.map(([within, stays]) => ({ within, stays }));
        for (const watcher of watchers) index.add(watcher.within, watcher);
        for (const watcher of watchers) {
          if (watcher.stays) left.add(watcher);
          else index.delete(watcher.within, watcher);
        }
        assert.equal(index.size, left.size);
        assert.deepEqual(new Set(index.all()), left);
        const expected = [...left].filter(({ within }) => concerns(within, event));
        // The root also has the events of unfinished trees, one of whose places may be unknown.
        const found = [...new Set(index.concernedBy(event))];
        const isRoot = ({ within }: { within: readonly ByteText[] }): boolean =>
          within.length === 0;
        assert.deepEqual(
          new Set(found.filter((each) => !isRoot(each))),
          new Set(expected.filter((each) => !isRoot(each))),
        );
        for (const watcher of expected) assert.ok(found.includes(watcher));
      }),
    );
  });
});
