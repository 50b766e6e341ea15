import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { compareBytes, toHex } from "../../../shared/base/bytes.ts";
import {
  KEY_BYTES_MAX,
  type OrderedReader,
  type OrderedStores,
  type RangeOptions,
  type StoreChange,
} from "../../../shared/ports/ordered-store.ts";

/** The stores of one test, and the functions to close them. */
export interface StoresUnderTest extends AsyncDisposable {
  readonly stores: OrderedStores;
  /** Returns the stores as a new process opens them after the previous process has closed them. */
  reopen(): OrderedStores;
}

const ALL = { start: new Uint8Array(0), end: new Uint8Array(KEY_BYTES_MAX + 1).fill(255) } as const;

function bytes(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values);
}

function contentOf(reader: OrderedReader, options: RangeOptions = ALL): readonly string[] {
  return Array.from(reader.range(options), ({ key, value }) => `${toHex(key)}=${toHex(value)}`);
}

/** A simple model of an ordered map: a sorted list with linear search. */
class Model {
  readonly values = new Map<string, StoreChange & { readonly value: Uint8Array }>();

  apply(changes: readonly StoreChange[]): void {
    for (const { key, value } of changes) {
      if (value === null) this.values.delete(toHex(key));
      else this.values.set(toHex(key), { key, value });
    }
  }

  content({ start, end, reverse, limit }: RangeOptions): readonly string[] {
    const inRange = [...this.values.values()]
      .filter(({ key }) => compareBytes(key, start) >= 0 && compareBytes(key, end) < 0)
      .sort((left, right) => compareBytes(left.key, right.key));
    if (reverse) inRange.reverse();
    return inRange
      .slice(0, limit ?? inRange.length)
      .map(({ key, value }) => `${toHex(key)}=${toHex(value)}`);
  }
}

// Few distinct bytes, including the smallest and the largest: many keys are adjacent or are
// prefixes of other keys.
const someKey = fc
  .oneof(
    fc.array(fc.constantFrom(0, 1, 127, 128, 254, 255), { minLength: 1, maxLength: 5 }),
    fc.array(fc.constantFrom(0, 255), { minLength: 9, maxLength: 20 }),
  )
  .map((letters) => Uint8Array.from(letters));
const someValue = fc.oneof(
  { weight: 6, arbitrary: fc.uint8Array({ maxLength: 20 }) },
  {
    weight: 1,
    arbitrary: fc.nat(12_000).map((length) => new Uint8Array(length).fill(length & 255)),
  },
);
const someChange: fc.Arbitrary<StoreChange> = fc.record({
  key: someKey,
  value: fc.oneof({ weight: 3, arbitrary: someValue }, { weight: 1, arbitrary: fc.constant(null) }),
});
const someBatch = fc.array(someChange, { maxLength: 60 });
const someRange: fc.Arbitrary<RangeOptions> = fc
  .tuple(
    fc.oneof(someKey, fc.constant(ALL.start)),
    fc.oneof(someKey, fc.constant(ALL.end)),
    fc.boolean(),
    fc.option(fc.nat(70), { nil: undefined }),
  )
  .map(([start, end, reverse, limit]) => ({
    start,
    end,
    reverse,
    ...(limit === undefined ? {} : { limit }),
  }));

function testReads(make: () => Promise<StoresUnderTest>): void {
  it("returns committed values, and undefined for absent keys", async () => {
    await using fixture = await make();
    const store = await fixture.stores.open("s");
    await store.commit([{ key: bytes(1), value: bytes(10) }]);
    assert.deepEqual(store.get(bytes(1)), bytes(10));
    assert.equal(store.get(bytes(2)), undefined);
    assert.equal(store.get(bytes(1, 0)), undefined);
    await store.close();
  });

  it("decodes a value of any size in place, and returns undefined for an absent key", async () => {
    await using fixture = await make();
    const store = await fixture.stores.open("s");
    const copy = (found: Uint8Array): Uint8Array => found.slice();
    for (const length of [0, 1, 100, 32_768, 32_769, 100_000]) {
      const value = new Uint8Array(length).map((_, index) => index % 251);
      await store.commit([{ key: bytes(1), value }]);
      assert.deepEqual(store.read(bytes(1), copy), value);
    }
    assert.equal(store.read(bytes(2), copy), undefined);
    await store.close();
    assert.throws(() => store.read(bytes(1), copy), { name: "AssertionError" });
  });

  it("distinguishes an empty value from an absent one", async () => {
    await using fixture = await make();
    const store = await fixture.stores.open("s");
    await store.commit([{ key: bytes(1), value: bytes() }]);
    assert.deepEqual(store.get(bytes(1)), bytes());
    await store.close();
  });

  it("accepts keys of KEY_BYTES_MAX and values of 8 MiB", async () => {
    await using fixture = await make();
    const store = await fixture.stores.open("s");
    const key = new Uint8Array(KEY_BYTES_MAX).fill(255);
    const value = new Uint8Array(8 * 1024 * 1024).map((_, i) => i & 255);
    await store.commit([{ key, value }]);
    assert.deepEqual(store.get(key), value);
    assert.deepEqual(Array.from(store.range(ALL)), [{ key, value }]);
    await store.close();
  });

  it("asserts the length of every key before any change of the batch is applied", async () => {
    await using fixture = await make();
    const store = await fixture.stores.open("s");
    const good = { key: bytes(1), value: bytes(1) };
    for (const key of [bytes(), new Uint8Array(KEY_BYTES_MAX + 1)]) {
      await assert.rejects(store.commit([good, { key, value: bytes(1) }]), {
        name: "AssertionError",
      });
    }
    assert.deepEqual(contentOf(store), []);
    await store.close();
  });

  it("returns arrays that later reads and writes do not change", async () => {
    await using fixture = await make();
    const store = await fixture.stores.open("s");
    for (const length of [1, 100, 5000, 50_000]) {
      await store.commit([{ key: bytes(1), value: new Uint8Array(length).fill(1) }]);
      const value = store.get(bytes(1));
      const [entry] = store.range(ALL);
      await store.commit([{ key: bytes(1), value: new Uint8Array(length).fill(2) }]);
      store.get(bytes(1));
      Array.from(store.range(ALL));
      assert.deepEqual(value, new Uint8Array(length).fill(1));
      assert.deepEqual(entry, { key: bytes(1), value: new Uint8Array(length).fill(1) });
    }
    await store.close();
  });

  it("is not affected by changes of the caller's arrays after the commit", async () => {
    await using fixture = await make();
    const store = await fixture.stores.open("s");
    const key = bytes(1, 2);
    const value = bytes(3, 4);
    await store.commit([{ key, value }]);
    key.fill(9);
    value.fill(9);
    assert.deepEqual(contentOf(store), ["0102=0304"]);
    await store.close();
  });

  it("returns plain arrays, not Buffers, so that all implementations behave equally", async () => {
    await using fixture = await make();
    const store = await fixture.stores.open("s");
    await store.commit([{ key: bytes(1), value: Buffer.from([2]) }]);
    const [entry] = store.range(ALL);
    for (const array of [store.get(bytes(1)), entry?.key, entry?.value]) {
      assert.equal(Object.getPrototypeOf(array), Uint8Array.prototype);
    }
    await store.close();
  });

  it("allows a reader of a long range to stop early and start again", async () => {
    await using fixture = await make();
    const store = await fixture.stores.open("s");
    const entry = (i: number): StoreChange => ({ key: bytes(i >> 8, i & 255), value: bytes(1) });
    await store.commit(Array.from({ length: 3000 }, (_, i) => entry(i)));
    for (let round = 0; round < 50; round += 1) {
      for (const { key } of store.range({ ...ALL, reverse: round % 2 === 1 })) {
        if ((key[1] as number) % 64 === round) break;
      }
    }
    assert.equal(Array.from(store.range(ALL)).length, 3000);
    await store.close();
  });

  it("continues a range after a commit between two rows", async () => {
    await using fixture = await make();
    const store = await fixture.stores.open("s");
    await store.commit(Array.from({ length: 200 }, (_, i) => ({ key: bytes(i), value: bytes(0) })));
    const keys: number[] = [];
    for (const { key } of store.range(ALL)) {
      keys.push(key[0] as number);
      await store.commit([{ key: bytes(250), value: bytes(keys.length & 255) }]);
    }
    assert.deepEqual(keys, [...Array.from({ length: 200 }, (_, i) => i), 250]);
    await store.close();
  });
}

function testSnapshots(make: () => Promise<StoresUnderTest>): void {
  it("does not change a snapshot by later commits", async () => {
    await using fixture = await make();
    const store = await fixture.stores.open("s");
    await store.commit([{ key: bytes(1), value: bytes(1) }]);
    const first = store.snapshot();
    await store.commit([{ key: bytes(1), value: bytes(2) }]);
    const second = store.snapshot();
    await store.commit([{ key: bytes(1), value: null }]);
    assert.deepEqual(first.get(bytes(1)), bytes(1));
    assert.deepEqual(contentOf(first), ["01=01"]);
    assert.deepEqual(second.get(bytes(1)), bytes(2));
    assert.equal(store.get(bytes(1)), undefined);
    first.release();
    assert.deepEqual(contentOf(second), ["01=02"]);
    second.release();
    await store.close();
  });

  it("asserts that a released snapshot is not read, and allows a second release", async () => {
    await using fixture = await make();
    const store = await fixture.stores.open("s");
    const snapshot = store.snapshot();
    snapshot.release();
    snapshot.release();
    assert.throws(() => snapshot.get(bytes(1)), { name: "AssertionError" });
    assert.throws(() => contentOf(snapshot), { name: "AssertionError" });
    await store.close();
  });

  it("closes even if a snapshot is not released", async () => {
    await using fixture = await make();
    const store = await fixture.stores.open("s");
    store.snapshot();
    await store.close();
    assert.throws(() => store.get(bytes(1)), { name: "AssertionError" });
  });
}

function testCommits(make: () => Promise<StoresUnderTest>): void {
  it("applies the later of two changes of one key", async () => {
    await using fixture = await make();
    const store = await fixture.stores.open("s");
    await store.commit([
      { key: bytes(1), value: bytes(1) },
      { key: bytes(2), value: bytes(1) },
      { key: bytes(1), value: bytes(2) },
      { key: bytes(2), value: null },
      { key: bytes(3), value: null },
      { key: bytes(3), value: bytes(3) },
    ]);
    assert.deepEqual(contentOf(store), ["01=02", "03=03"]);
    await store.close();
  });

  it("applies a batch of 20,000 changes and an empty one", async () => {
    await using fixture = await make();
    const store = await fixture.stores.open("s");
    const keyOf = (i: number): Uint8Array => bytes(i >> 16, (i >> 8) & 255, i & 255);
    const changes = Array.from({ length: 20_000 }, (_, i) => ({ key: keyOf(i), value: bytes(1) }));
    await store.commit(changes);
    await store.commit([]);
    assert.equal(Array.from(store.range(ALL)).length, 20_000);
    assert.ok(store.sizeBytes() > 0);
    await store.close();
  });

  it("keeps committed rows when a store is opened again, and lists the existing stores", async () => {
    await using fixture = await make();
    const store = await fixture.stores.open("state-1.x");
    await store.commit([{ key: bytes(1), value: bytes(2) }]);
    await store.close();
    const other = await fixture.stores.open("a");
    await other.close();

    const stores = fixture.reopen();
    assert.deepEqual(await stores.list(), ["a", "state-1.x"]);
    const again = await stores.open("state-1.x");
    assert.deepEqual(contentOf(again), ["01=02"]);
    await again.close();
    await stores.remove("state-1.x");
    await stores.remove("missing");
    assert.deepEqual(await stores.list(), ["a"]);
    const empty = await stores.open("state-1.x");
    assert.deepEqual(contentOf(empty), []);
    await empty.close();
  });

  it("asserts that a store is opened once, closed once and stays in its directory", async () => {
    await using fixture = await make();
    const store = await fixture.stores.open("s");
    const bug = { name: "AssertionError" };
    await assert.rejects(fixture.stores.open("s"), bug);
    await assert.rejects(fixture.stores.remove("s"), bug);
    await assert.rejects(fixture.stores.open("../s"), bug);
    const first = store.commit([{ key: bytes(1), value: bytes(1) }]);
    await assert.rejects(store.commit([{ key: bytes(2), value: bytes(2) }]), bug);
    await first;
    await store.close();
    await assert.rejects(store.close(), bug);
    await assert.rejects(store.commit([]), bug);
  });
}

function testAgainstModel(make: () => Promise<StoresUnderTest>): void {
  it("agrees with a plain map after any commits, ranges, snapshots and reopenings", async () => {
    await using fixture = await make();
    let stores = fixture.stores;
    const step = fc.record({
      batch: someBatch,
      ranges: fc.array(someRange, { maxLength: 4 }),
      reopen: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
    });
    const property = fc.asyncProperty(fc.array(step, { maxLength: 8 }), async (steps) => {
      let store = await stores.open("model");
      const model = new Model();
      for (const { batch, ranges, reopen } of steps) {
        const before = { expected: model.content(ALL), snapshot: store.snapshot() };
        model.apply(batch);
        await store.commit(batch);
        assert.deepEqual(contentOf(before.snapshot), before.expected);
        before.snapshot.release();
        if (reopen) {
          await store.close();
          stores = fixture.reopen();
          store = await stores.open("model");
        }
        for (const range of ranges) assert.deepEqual(contentOf(store, range), model.content(range));
        for (const { key } of batch) {
          assert.deepEqual(store.get(key), model.values.get(toHex(key))?.value);
          assert.deepEqual(
            store.read(key, (found) => found.slice()),
            store.get(key),
          );
        }
      }
      assert.deepEqual(contentOf(store), model.content(ALL));
      await store.close();
      await stores.remove("model");
    });
    await fc.assert(property, { numRuns: 60 });
  });
}

/** Defines the tests that every implementation of OrderedStores must pass. */
export function testStores(make: () => Promise<StoresUnderTest>): void {
  testReads(make);
  testSnapshots(make);
  testCommits(make);
  testAgainstModel(make);
}
