import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ReadAhead } from "../../../../client/cli/local/read-ahead.ts";

async function* numbers(count: number, onRead: (value: number) => void = () => {}) {
  for (let value = 0; value < count; value += 1) {
    await Promise.resolve();
    onRead(value);
    yield value;
  }
}

/** Lets everything run that waits for no other event. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 100; turn += 1) await Promise.resolve();
}

describe("ReadAhead", () => {
  it("returns all items in their order, also if its buffer is full between two calls", async () => {
    await using ahead = new ReadAhead(numbers(50), 4);
    const found: number[] = [];
    for (let item = await ahead.next(); item !== null; item = await ahead.next()) {
      found.push(item);
      await settle();
    }
    assert.deepEqual(found, [...Array(50).keys()]);
    assert.equal(await ahead.next(), null);
  });

  it("reads up to the limit and no further, and shows the items", async () => {
    let last = -1;
    const source = numbers(100, (value) => {
      last = value;
    });
    await using ahead = new ReadAhead(source, 4);
    assert.equal(await ahead.next(), 0);
    await settle();
    assert.deepEqual([...ahead.buffered], [1, 2, 3, 4]);
    assert.equal(last, 4);
  });

  it("throws the error of its source after the items before it", async () => {
    async function* failing() {
      yield 1;
      throw new Error("no more");
    }
    await using ahead = new ReadAhead(failing(), 4);
    assert.equal(await ahead.next(), 1);
    await assert.rejects(ahead.next(), /no more/);
  });

  it("ends its source at the disposal", async () => {
    let isEnded = false;
    async function* endless() {
      try {
        for (;;) yield 0;
      } finally {
        isEnded = true;
      }
    }
    const ahead = new ReadAhead(endless(), 4);
    await ahead.next();
    await ahead[Symbol.asyncDispose]();
    assert.ok(isEnded);
  });
});
