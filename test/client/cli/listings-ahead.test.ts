import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AHEAD_MAX, ListingsAhead } from "../../../client/cli/listings-ahead.ts";

interface Directory {
  readonly name: string;
}

/** Lists directories of three entries, and counts what is started and not ended. */
class Lister {
  readonly started: string[] = [];
  openCount = 0;

  readonly list = async function* (
    this: Lister,
    { name }: Directory,
  ): AsyncGenerator<string, void, void> {
    this.started.push(name);
    this.openCount += 1;
    try {
      if (name === "gone") throw new Error("gone");
      for (const entry of ["x", "y", "z"]) {
        await Promise.resolve();
        yield `${name}/${entry}`;
      }
    } finally {
      this.openCount -= 1;
    }
  }.bind(this);
}

const directories = (count: number, prefix = "d"): Directory[] =>
  Array.from({ length: count }, (_, index) => ({ name: `${prefix}${index}` }));

async function entriesOf(listing: AsyncIterable<string>): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of listing) found.push(entry);
  return found;
}

describe("ListingsAhead", () => {
  it("starts the next listings together, each once, and yields all entries", async () => {
    const lister = new Lister();
    await using ahead = new ListingsAhead(lister.list);
    const [first, second] = directories(20);
    assert.ok(first !== undefined && second !== undefined);
    ahead.prepare([first, second, ...directories(18, "e")]);
    assert.equal(lister.started.length, AHEAD_MAX);
    ahead.prepare([first, second]);
    assert.equal(lister.started.length, AHEAD_MAX);
    assert.deepEqual(await entriesOf(ahead.take(second)), ["d1/x", "d1/y", "d1/z"]);
    assert.deepEqual(await entriesOf(ahead.take(first)), ["d0/x", "d0/y", "d0/z"]);
    assert.deepEqual(await entriesOf(ahead.take({ name: "other" })), [
      "other/x",
      "other/y",
      "other/z",
    ]);
  });

  it("holds a bounded number of listings, and ends them at the disposal", async () => {
    const lister = new Lister();
    const ahead = new ListingsAhead(lister.list);
    for (let level = 0; level < 50; level += 1) ahead.prepare(directories(AHEAD_MAX, `l${level}-`));
    assert.equal(lister.openCount, 64);
    await ahead[Symbol.asyncDispose]();
    assert.equal(lister.openCount, 0);
  });

  it("throws the error of a listing when it is taken, and not before", async () => {
    const lister = new Lister();
    await using ahead = new ListingsAhead(lister.list);
    const gone = { name: "gone" };
    ahead.prepare([gone, { name: "a" }]);
    await new Promise(setImmediate);
    await assert.rejects(entriesOf(ahead.take(gone)), /gone/);
  });

  it("ends a listing that is left", async () => {
    const lister = new Lister();
    await using ahead = new ListingsAhead(lister.list);
    for await (const _ of ahead.take({ name: "a" })) break;
    assert.equal(lister.openCount, 0);
  });
});
