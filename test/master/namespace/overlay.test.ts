import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type Key,
  prefixEnd,
  readU64,
  TABLE_BYTE,
  textToBytes,
  u64,
} from "../../../master/namespace/keys.ts";
import { Layer, makeCell } from "../../../master/namespace/layer.ts";
import { Overlay } from "../../../master/namespace/overlay.ts";
import { TIMES } from "../../../master/namespace/tables.ts";
import { ENTRIES } from "../../../master/namespace/tree-tables.ts";
import type { AshlarError } from "../../../shared/base/errors.ts";
import type { InodeId, LogIndex } from "../../../shared/base/ids.ts";
import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import type { OrderedStore, StoreChange } from "../../../shared/ports/ordered-store.ts";
import { SeededRandom } from "../../support/seeded-random.ts";

const key = (index: number): Key => (TABLE_BYTE.time + u64(index)) as Key;
const ALL = { start: key(0), end: key(1_000) };

async function openOverlay(): Promise<{ overlay: Overlay; store: OrderedStore }> {
  const store = await new MemoryStores().open("state");
  return { overlay: new Overlay({ store, cacheBytesMax: 1_000_000 }), store };
}

/** Freezes the active layer and commits it. @returns the changes with their `isFresh` flags */
async function flush(overlay: Overlay, store: OrderedStore): Promise<FlushedChange[]> {
  overlay.freeze();
  const changes: FlushedChange[] = [];
  const cells = overlay.frozenCells();
  while (cells.visitNext(2, (change, isFresh) => changes.push({ ...change, isFresh }))) {}
  await store.commit(changes);
  overlay.drop();
  return changes;
}

type FlushedChange = StoreChange & { readonly isFresh: boolean };

describe("Overlay", () => {
  it("does not write a row that is inserted and deleted before a flush", async () => {
    const { overlay, store } = await openOverlay();
    for (let index = 1; index <= 5; index += 1) overlay.insert(TIMES, key(index), index);
    for (let index = 1; index <= 4; index += 1) overlay.delete(key(index));
    const changes = await flush(overlay, store);
    assert.deepEqual(
      changes.map((change) => [change.key, change.isFresh]),
      [[textToBytes(key(5)), true]],
    );
  });

  it("marks a row as fresh only if the store has no row under the key", async () => {
    const { overlay, store } = await openOverlay();
    overlay.insert(TIMES, key(1), 1);
    overlay.insert(TIMES, key(2), 2);
    await flush(overlay, store);
    overlay.delete(key(1));
    overlay.insert(TIMES, key(1), 10); // The store still has the old row.
    overlay.set(TIMES, key(2), 20);
    overlay.set(TIMES, key(3), 30);
    overlay.insert(TIMES, key(4), 40);
    overlay.set(TIMES, key(4), 41);
    const changes = await flush(overlay, store);
    assert.deepEqual(
      changes.map(({ isFresh }) => isFresh),
      [false, false, false, true],
    );
    assert.deepEqual(
      overlay.rows(TIMES, ALL, 10).map(({ value }) => value),
      [10, 20, 30, 41],
    );
  });

  it("does not return a cached row after a row that is not cached has replaced it", async () => {
    const { overlay, store } = await openOverlay();
    const path = (TABLE_BYTE.entry + u64(1)) as Key;
    const entryOf = (inode: number, isDirectory: boolean) => {
      return { inode: inode as InodeId, version: inode as LogIndex, isDirectory };
    };
    overlay.insert(ENTRIES, path, entryOf(1, true));
    await flush(overlay, store);
    overlay.get(ENTRIES, path); // Entries of directories are cached, those of files are not.
    overlay.delete(path);
    overlay.insert(ENTRIES, path, entryOf(2, false));
    await flush(overlay, store);
    assert.deepEqual(overlay.get(ENTRIES, path), entryOf(2, false));
    overlay.delete(path);
    overlay.insert(ENTRIES, path, entryOf(3, true));
    await flush(overlay, store);
    overlay.set(ENTRIES, path, entryOf(4, false));
    await flush(overlay, store);
    assert.deepEqual(overlay.get(ENTRIES, path), entryOf(4, false));
  });

  it("restores the earlier changes when an entry is rolled back", async () => {
    const { overlay } = await openOverlay();
    overlay.insert(TIMES, key(1), 1);
    overlay.begin();
    overlay.delete(key(1));
    overlay.insert(TIMES, key(1), 2);
    overlay.insert(TIMES, key(2), 2);
    overlay.delete(key(2));
    overlay.rollback();
    overlay.end();
    assert.deepEqual(overlay.rows(TIMES, ALL, 10), [{ key: key(1), value: 1 }]);
    assert.equal(overlay.changedCount, 1);
  });

  it("returns the rows of a range in key order, independent of the order of the writes", async () => {
    const { overlay } = await openOverlay();
    const scan = (): number[] => overlay.rows(TIMES, ALL, 10).map(({ value }) => value);
    for (const index of [7, 3, 5]) overlay.insert(TIMES, key(index), index);
    assert.deepEqual(scan(), [3, 5, 7]);
    overlay.delete(key(3));
    for (const index of [4, 9]) overlay.insert(TIMES, key(index), index);
    overlay.delete(key(9));
    overlay.insert(TIMES, key(3), 3);
    assert.deepEqual(scan(), [3, 4, 5, 7]);
  });
});

/** An overlay with random changes, and a map with the same changes. */
class OverlayModel {
  readonly #random: SeededRandom;
  readonly #overlay: Overlay;
  #model = new Map<number, number>();

  constructor(overlay: Overlay, random: SeededRandom) {
    this.#overlay = overlay;
    this.#random = random;
  }

  below(bound: number): number {
    return Math.floor(this.#random.fraction() * bound);
  }

  /** Applies an entry with a few changes. Some entries are rolled back. */
  applyEntry(value: number): void {
    const before = new Map(this.#model);
    this.#overlay.begin();
    for (let change = this.below(6); change > 0; change -= 1) {
      this.#changeRow(this.below(20), value);
      if (this.below(4) === 0) this.checkRange();
    }
    if (this.below(4) === 0) {
      this.#overlay.rollback();
      this.#model = before;
    }
    this.#overlay.end();
  }

  #changeRow(index: number, value: number): void {
    if (this.below(3) > 0) {
      this.#overlay.delete(key(index));
      this.#model.delete(index);
    } else {
      this.#overlay.set(TIMES, key(index), value);
      this.#model.set(index, value);
    }
  }

  checkRange(): void {
    const [start, end, limit] = [this.below(8), this.below(25), this.below(4)];
    const rows = this.#overlay.rows(TIMES, { start: key(start), end: key(end) }, limit);
    const expected = [...this.#model]
      .filter(([index]) => index >= start && index < end)
      .sort(([left], [right]) => left - right)
      .slice(0, limit);
    assert.deepEqual(
      rows.map(({ key: found, value }) => [readU64(found, 1), value]),
      expected,
    );
  }
}

describe("a range of the overlay", () => {
  it("has the rows of a sorted map, in every order of changes, flushes and reads", async () => {
    const random = new SeededRandom(7);
    for (let round = 0; round < 40; round += 1) {
      const { overlay, store } = await openOverlay();
      const model = new OverlayModel(overlay, random);
      for (let step = 0; step < 60; step += 1) {
        model.applyEntry(step);
        if (model.below(5) === 0) await flush(overlay, store);
        model.checkRange();
      }
    }
  });
});

describe("a layer", () => {
  const cellOf = (of: Key) => makeCell(of, { table: TIMES, value: 1, isFresh: true });

  it("sorts for a range only the keys of the table that the range reads", () => {
    const layer = new Layer();
    for (let index = 1; index <= 1_000; index += 1) {
      const other = (TABLE_BYTE.inode + u64(index)) as Key;
      layer.set(other, cellOf(other), undefined);
    }
    for (const index of [3, 1, 2]) layer.set(key(index), cellOf(key(index)), undefined);
    assert.equal(layer.unsortedCount, 1_003);
    const end = prefixEnd(TABLE_BYTE.time);
    assert.equal(layer.keyFrom({ start: TABLE_BYTE.time as Key, end }), key(1));
    assert.equal(layer.keyFrom({ start: key(4), end }), undefined);
    assert.equal(layer.unsortedCount, 1_000);
  });

  it("finds the first key of each range, also of a range over several tables", () => {
    const random = new SeededRandom(5);
    const keyOf = (): Key => {
      const length = 1 + random.integer(3);
      return Array.from({ length }, () => "abcd"[random.integer(4)]).join("") as Key;
    };
    for (let round = 0; round < 200; round += 1) {
      const layer = new Layer();
      const keys = new Set<Key>();
      for (let step = 0; step < 20; step += 1) {
        const changed = keyOf();
        if (keys.delete(changed)) layer.forget(changed);
        else {
          layer.set(changed, cellOf(changed), undefined);
          keys.add(changed);
        }
        const [start, end] = [keyOf(), keyOf()];
        const expected = [...keys].sort().find((each) => each >= start && each < end);
        assert.equal(layer.keyFrom({ start, end }), expected, `from ${start} to ${end}`);
      }
    }
  });
});

describe("a row of the store that cannot be decoded", () => {
  it("makes the read fail and calls onDamage", async () => {
    const store = await new MemoryStores().open("state");
    const reported: AshlarError[] = [];
    const onDamage = (error: AshlarError) => reported.push(error);
    const overlay = new Overlay({ store, cacheBytesMax: 1_000_000, onDamage });
    overlay.insert(TIMES, key(1), 1);
    await flush(overlay, store);
    await store.commit([{ key: textToBytes(key(1)), value: Uint8Array.of(0xc1) }]);
    const again = new Overlay({ store, cacheBytesMax: 1_000_000, onDamage });
    assert.throws(() => again.get(TIMES, key(1)), { code: "STORE_CORRUPT" });
    assert.throws(() => again.rows(TIMES, ALL, 10), { code: "STORE_CORRUPT" });
    assert.deepEqual(
      reported.map(({ code }) => code),
      ["STORE_CORRUPT", "STORE_CORRUPT"],
    );
  });
});
