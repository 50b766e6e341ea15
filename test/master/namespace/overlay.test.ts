import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Key, TABLE_BYTE, textToBytes, u64 } from "../../../master/namespace/keys.ts";
import { Overlay } from "../../../master/namespace/overlay.ts";
import { TIMES } from "../../../master/namespace/tables.ts";
import type { AshlarError } from "../../../shared/base/errors.ts";
import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import type { OrderedStore, StoreChange } from "../../../shared/ports/ordered-store.ts";

const key = (index: number): Key => (TABLE_BYTE.time + u64(index)) as Key;
const ALL = { start: key(0), end: key(1_000) };

async function openOverlay(): Promise<{ overlay: Overlay; store: OrderedStore }> {
  const store = await new MemoryStores().open("state");
  return { overlay: new Overlay({ store, cacheBytesMax: 1_000_000 }), store };
}

/** Freezes, and commits what is frozen. @returns the changes, with what each was taken for. */
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

describe("the changes over the store", () => {
  it("never reach it where a row is inserted and deleted in between", async () => {
    const { overlay, store } = await openOverlay();
    for (let index = 1; index <= 5; index += 1) overlay.insert(TIMES, key(index), index);
    for (let index = 1; index <= 4; index += 1) overlay.delete(TIMES, key(index));
    const changes = await flush(overlay, store);
    assert.deepEqual(
      changes.map((change) => [change.key, change.isFresh]),
      [[textToBytes(key(5)), true]],
    );
  });

  it("are taken for new rows only where the store has none under the key", async () => {
    const { overlay, store } = await openOverlay();
    overlay.insert(TIMES, key(1), 1);
    overlay.insert(TIMES, key(2), 2);
    await flush(overlay, store);
    overlay.delete(TIMES, key(1));
    overlay.insert(TIMES, key(1), 10); // The store still has the old one.
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

  it("come back as they were when an entry is rolled back", async () => {
    const { overlay } = await openOverlay();
    overlay.insert(TIMES, key(1), 1);
    overlay.begin();
    overlay.delete(TIMES, key(1));
    overlay.insert(TIMES, key(1), 2);
    overlay.insert(TIMES, key(2), 2);
    overlay.delete(TIMES, key(2));
    overlay.rollback();
    overlay.end();
    assert.deepEqual(overlay.rows(TIMES, ALL, 10), [{ key: key(1), value: 1 }]);
    assert.equal(overlay.changedCount, 1);
  });

  it("stand in order in a range, whenever they were made", async () => {
    const { overlay } = await openOverlay();
    const scan = (): number[] => overlay.rows(TIMES, ALL, 10).map(({ value }) => value);
    for (const index of [7, 3, 5]) overlay.insert(TIMES, key(index), index);
    assert.deepEqual(scan(), [3, 5, 7]);
    overlay.delete(TIMES, key(3));
    for (const index of [4, 9]) overlay.insert(TIMES, key(index), index);
    overlay.delete(TIMES, key(9));
    overlay.insert(TIMES, key(3), 3);
    assert.deepEqual(scan(), [3, 4, 5, 7]);
  });
});

describe("a row of the store that cannot be decoded", () => {
  it("is an error for who reads it, and told to who can stop the process", async () => {
    const store = await new MemoryStores().open("state");
    const told: AshlarError[] = [];
    const onDamage = (error: AshlarError) => told.push(error);
    const overlay = new Overlay({ store, cacheBytesMax: 1_000_000, onDamage });
    overlay.insert(TIMES, key(1), 1);
    await flush(overlay, store);
    await store.commit([{ key: textToBytes(key(1)), value: Uint8Array.of(0xc1) }]);
    const again = new Overlay({ store, cacheBytesMax: 1_000_000, onDamage });
    assert.throws(() => again.get(TIMES, key(1)), { code: "STORE_CORRUPT" });
    assert.throws(() => again.rows(TIMES, ALL, 10), { code: "STORE_CORRUPT" });
    assert.deepEqual(
      told.map(({ code }) => code),
      ["STORE_CORRUPT", "STORE_CORRUPT"],
    );
  });
});
