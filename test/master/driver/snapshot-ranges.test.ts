import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  decodeRanges,
  encodeRanges,
  type HeldRange,
  HeldRanges,
  RANGES_MAX,
} from "../../../master/driver/held-ranges.ts";
import { PartsReceiver } from "../../../master/driver/parts-receiver.ts";
import { type SnapshotHead, sendParts } from "../../../master/driver/snapshot-parts.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { Digest, LogIndex } from "../../../shared/base/ids.ts";
import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import type { KeyValue, OrderedStore, StoreChange } from "../../../shared/ports/ordered-store.ts";
import { encodePairs } from "../../../shared/protocol/pairs.ts";
import { SkippingClock } from "../../support/skipping-clock.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import { hasher } from "../namespace/harness.ts";
import { bytesOfText } from "./toy-machine.ts";

const INTERRUPTION = new AshlarError("CONNECTION_LOST", "The connection was cut");
/** Size of a row of `rowsOf` on the wire. */
const ROW_BYTES = 8 + 4 + 8;

/** A state: values by key, both as text. */
type State = ReadonlyMap<string, string>;

/** Returns a state with the keys "k000", "k001", … */
function stateOf(count: number): Map<string, string> {
  const rows = Array.from({ length: count }, (_, number) => keyOf(number));
  return new Map(rows.map((key) => [key, `value ${key.slice(-2)}`]));
}

function keyOf(number: number): string {
  return `k${String(number).padStart(3, "0")}`;
}

function rowsOf(state: State): StoreChange[] {
  const keys = [...state.keys()].sort();
  return keys.map((key) => ({
    key: bytesOfText(key),
    value: bytesOfText(state.get(key) as string),
  }));
}

async function storeOf(state: State): Promise<OrderedStore> {
  const store = await new MemoryStores().open("sender");
  await store.commit(rowsOf(state));
  return store;
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function contents(store: OrderedStore): Map<string, string> {
  const rows = store.range({ start: Uint8Array.of(0), end: Uint8Array.of(255) });
  return new Map(Array.from(rows, ({ key, value }) => [text(key), text(value)]));
}

/** Rows that one transfer has sent and kept. */
interface Sent {
  readonly keys: readonly string[];
  readonly keptCount: number;
  readonly isComplete: boolean;
}

/** A receiver and what it keeps between transfers. */
class Receiver {
  readonly #rowsPerRange: number;
  readonly #commitSizes: number[] = [];
  #store: OrderedStore | null = null;
  ranges: readonly HeldRange[] = [];
  /** The largest number of rows that one message has changed. */
  largestMessage = 0;

  constructor(rowsPerRange = 5) {
    this.#rowsPerRange = rowsPerRange;
  }

  /** The largest commit since the begin, in changes. */
  get largestCommit(): number {
    return Math.max(...this.#commitSizes);
  }

  get #changeCount(): number {
    return this.#commitSizes.reduce((sum, size) => sum + size, 0);
  }

  async store(): Promise<OrderedStore> {
    const stores = new MemoryStores({
      beforeCommit: async (_name, changes) => {
        this.#commitSizes.push(changes.length);
      },
    });
    this.#store ??= await stores.open("receiver");
    return this.#store;
  }

  /** Transfers `state`. The connection is cut after `messagesMax` messages, of `partRows` rows each. */
  async transfer(
    state: State,
    { messagesMax = Number.POSITIVE_INFINITY, partRows = 10, clock = new SkippingClock() } = {},
  ): Promise<Sent> {
    const { ranges } = this;
    const parts = new PartsReceiver(await this.store(), {
      clock,
      hasher,
      ranges,
      rangeBytesMin: this.#rowsPerRange * ROW_BYTES,
    });
    const keys: string[] = [];
    let isComplete = false;
    let messageCount = 0;
    const receive = async (head: SnapshotHead, body: Uint8Array = new Uint8Array(0)) => {
      if (messageCount === messagesMax) throw INTERRUPTION;
      messageCount += 1;
      if (head.kind === "part") keys.push(...keysOf(body));
      const before = this.#changeCount;
      isComplete = await parts.receive(head, { body, release: () => {} });
      this.largestMessage = Math.max(this.largestMessage, this.#changeCount - before);
    };
    const reader = (await storeOf(state)).snapshot();
    const snapshot = { reader, stateHash: null, index: 1 as LogIndex };
    const turn = (): Promise<void> => clock.yieldTurn();
    const options = { turn, hasher, partBytes: partRows * ROW_BYTES, onDamage: () => {} };
    try {
      const keep = (range: number) => receive({ kind: "keep", range });
      const drop = (range: number) => receive({ kind: "drop", range });
      await sendParts(snapshot, options, receive, { ranges, keep, drop });
      assert.deepEqual(contents(await this.store()), new Map([...state].sort()));
    } catch (error) {
      if (error !== INTERRUPTION) throw error;
    }
    this.ranges = parts.close();
    return { keys, keptCount: parts.keptCount, isComplete };
  }
}

function keysOf(body: Uint8Array): string[] {
  const keys: string[] = [];
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  for (let offset = 0; offset < body.length; ) {
    const keyBytes = view.getUint32(offset, true);
    keys.push(text(body.subarray(offset + 8, offset + 8 + keyBytes)));
    offset += 8 + keyBytes + view.getUint32(offset + 4, true);
  }
  return keys;
}

/** Receives 60 of 100 rows in ranges of 5, then `change` and the rest. Returns what was sent then. */
async function resumeAfter(change: (state: Map<string, string>) => void): Promise<Sent> {
  const receiver = new Receiver();
  const state = stateOf(100);
  const before = await receiver.transfer(state, { messagesMax: 6 });
  assert.equal(before.keys.length, 60);
  assert.equal(receiver.ranges.length, 12);
  change(state);
  const after = await receiver.transfer(state);
  assert.ok(after.isComplete);
  return after;
}

const REST = Array.from({ length: 40 }, (_, number) => keyOf(60 + number));
const rangeFrom = (number: number): string[] =>
  Array.from({ length: 5 }, (_, each) => keyOf(number + each));

describe("the ranges of an interrupted snapshot", () => {
  it("are kept if the state has not changed, and only the rest is sent", async () => {
    assert.deepEqual(await resumeAfter(() => {}), { keys: REST, keptCount: 60, isComplete: true });
  });

  it("are sent again where a row has changed", async () => {
    const { keys, keptCount } = await resumeAfter((state) => state.set(keyOf(12), "changed."));
    assert.deepEqual(keys, [...rangeFrom(10), ...REST]);
    assert.equal(keptCount, 55);
  });

  it("are sent again where a row was removed, and the row is removed", async () => {
    const { keys } = await resumeAfter((state) => state.delete(keyOf(12)));
    assert.deepEqual(keys, [...rangeFrom(10).filter((key) => key !== keyOf(12)), ...REST]);
  });

  it("are sent again where a row was inserted", async () => {
    const { keys } = await resumeAfter((state) => state.set(`${keyOf(12)}a`, "inserted"));
    const range = [...rangeFrom(10), `${keyOf(12)}a`].sort();
    assert.deepEqual(keys, [...range, ...REST]);
  });

  it("are sent again where the first or the last row of a range has changed", async () => {
    const first = await resumeAfter((state) => state.set(keyOf(10), "changed."));
    assert.deepEqual(first.keys, [...rangeFrom(10), ...REST]);
    const last = await resumeAfter((state) => state.set(keyOf(14), "changed."));
    assert.deepEqual(last.keys, [...rangeFrom(10), ...REST]);
    const removed = await resumeAfter((state) => state.delete(keyOf(14)));
    assert.deepEqual(removed.keys, [...rangeFrom(10).slice(0, 4), ...REST]);
  });

  it("contain a row that is inserted between two of them, or before the first", async () => {
    const between = await resumeAfter((state) => state.set(`${keyOf(14)}a`, "inserted"));
    assert.deepEqual(between.keys, [`${keyOf(14)}a`, ...rangeFrom(15), ...REST]);
    const before = await resumeAfter((state) => state.set("a", "inserted"));
    assert.deepEqual(before.keys, ["a", ...rangeFrom(0), ...REST]);
  });

  it("are removed if the state has no row of them, at the begin, in the middle and at the end", async () => {
    const { keys, keptCount } = await resumeAfter((state) => {
      for (const number of [0, 10, 15, 55]) for (const key of rangeFrom(number)) state.delete(key);
    });
    assert.deepEqual(keys, REST);
    assert.equal(keptCount, 40);
    const rest = await resumeAfter((state) => {
      for (const key of [...rangeFrom(50), ...rangeFrom(55), ...REST]) state.delete(key);
    });
    assert.deepEqual(rest.keys, []);
    assert.equal(rest.keptCount, 50);
    const empty = await resumeAfter((state) => state.clear());
    assert.deepEqual(empty, { keys: [], keptCount: 0, isComplete: true });
  });

  it("continue over several interruptions, also within a range that is sent again", async () => {
    const receiver = new Receiver();
    const state = stateOf(100);
    await receiver.transfer(state, { messagesMax: 6 });
    state.set(keyOf(12), "changed.");
    // Keeps two ranges and replaces three rows of the third one.
    const second = await receiver.transfer(state, { messagesMax: 3, partRows: 3 });
    assert.deepEqual(second.keys, rangeFrom(10).slice(0, 3));
    assert.deepEqual(
      receiver.ranges.map(({ digest }) => digest !== null),
      [true, true, true, false, ...Array<boolean>(9).fill(true)],
    );
    const third = await receiver.transfer(state);
    // The two rows that were not received again are not known to the receiver.
    assert.deepEqual(third.keys, [...rangeFrom(10).slice(3), ...REST]);
    assert.equal(third.keptCount, 58);
  });

  it("lead to the state of the sender after any changes and interruptions", async () => {
    const keys = fc.integer({ min: 0, max: 40 }).map(keyOf);
    const state = fc.dictionary(keys, fc.constantFrom("1", "22", "333"));
    const attempt = fc.record({
      state,
      messagesMax: fc.nat(12),
      partRows: fc.integer({ min: 1, max: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(attempt, { maxLength: 5 }), state, async (attempts, last) => {
        const receiver = new Receiver(1);
        for (const each of attempts) {
          await receiver.transfer(new Map(Object.entries(each.state)), each);
        }
        const sent = await receiver.transfer(new Map(Object.entries(last)), { partRows: 3 });
        assert.ok(sent.isComplete);
        assert.equal(sent.keys.length + sent.keptCount, Object.keys(last).length);
      }),
    );
  });

  it("are refused if a row has changed on the disk of the receiver", async () => {
    const receiver = new Receiver();
    const state = stateOf(100);
    await receiver.transfer(state, { messagesMax: 6 });
    const store = await receiver.store();
    await store.commit([{ key: bytesOfText(keyOf(12)), value: bytesOfText("corrupt") }]);
    await assert.rejects(receiver.transfer(state), hasCode("STORE_CORRUPT"));
  });

  it("fail the transfer at its end if the sender keeps one that differs", async () => {
    const receiver = new Receiver();
    const state = stateOf(20);
    await receiver.transfer(state, { messagesMax: 1 });
    const parts = new PartsReceiver(await receiver.store(), {
      clock: new SkippingClock(),
      hasher,
      ranges: receiver.ranges,
    });
    await receive(parts, { kind: "keep", range: 0 });
    await receive(parts, { kind: "keep", range: 1 });
    const rows = rowsOf(state.set(keyOf(3), "changed.")) as KeyValue[];
    await receive(parts, { kind: "part", entryCount: 10 }, encodePairs(rows.slice(10)));
    const digest = hasher.hash(encodePairs(rows));
    const end = receive(parts, { kind: "end", entryCount: 20, digest });
    await assert.rejects(end, hasCode("PROTOCOL_ERROR"));
  });

  it("are refused if they were not reported, or after their rows", async () => {
    const receiver = new Receiver();
    await receiver.transfer(stateOf(20), { messagesMax: 1 });
    const ranges = [...receiver.ranges, { end: bytesOfText("z"), digest: null }];
    const store = await receiver.store();
    const make = (): PartsReceiver =>
      new PartsReceiver(store, { clock: new SkippingClock(), hasher, ranges });
    await assert.rejects(receive(make(), { kind: "keep", range: 2 }), hasCode("PROTOCOL_ERROR"));
    await assert.rejects(receive(make(), { kind: "keep", range: 3 }), hasCode("PROTOCOL_ERROR"));
    const parts = make();
    await receive(parts, { kind: "keep", range: 1 });
    await assert.rejects(receive(parts, { kind: "keep", range: 0 }), hasCode("PROTOCOL_ERROR"));
    await assert.rejects(receive(parts, { kind: "keep", range: 1 }), hasCode("PROTOCOL_ERROR"));
  });
});

function receive(
  parts: PartsReceiver,
  head: SnapshotHead,
  body: Uint8Array = new Uint8Array(0),
): Promise<boolean> {
  return parts.receive(head, { body, release: () => {} });
}

/** Returns a state of 9,000 rows. */
function longState(): State {
  const keys = Array.from({ length: 9_000 }, (_, number) => `k${String(number).padStart(5, "0")}`);
  return new Map(keys.map((key) => [key, "value"]));
}

describe("the parts of a snapshot", () => {
  it("are refused if their rows are not in key order", async () => {
    const rows = rowsOf(stateOf(3)) as KeyValue[];
    const store = await new MemoryStores().open("receiver");
    const make = (): PartsReceiver =>
      new PartsReceiver(store, { clock: new SkippingClock(), hasher, ranges: null });
    const part = { kind: "part", entryCount: 3 } as const;
    const turned = encodePairs([...rows].reverse());
    await assert.rejects(receive(make(), part, turned), hasCode("PROTOCOL_ERROR"));
    const parts = make();
    await receive(parts, part, encodePairs(rows));
    await assert.rejects(receive(parts, part, encodePairs(rows)), hasCode("PROTOCOL_ERROR"));
  });

  it("remove the rows of a few ranges in one message", async () => {
    const state = longState();
    for (const last of [new Map([["k99999", "value"]]), new Map([["k00000", "new"]]), new Map()]) {
      const copy = new Receiver(100);
      await copy.transfer(state, { messagesMax: 90, partRows: 100 });
      copy.largestMessage = 0;
      assert.ok((await copy.transfer(last)).isComplete);
      assert.ok(copy.largestMessage <= 5 * 100, `${copy.largestMessage} rows in one message`);
    }
  });

  it("remove many rows in several commits", async () => {
    const receiver = new Receiver(4_000);
    const state = longState();
    await receiver.transfer(state, { messagesMax: 90, partRows: 100 });
    const last = new Map([["k99999", "value"]]);
    assert.ok((await receiver.transfer(last)).isComplete);
    assert.equal(receiver.largestCommit, 2_000);
  });

  it("are hashed in slices, with a turn of the event loop for each", async () => {
    const receiver = new Receiver(1_000_000);
    const value = "x".repeat(100_000);
    const state = new Map(Array.from({ length: 30 }, (_, number) => [keyOf(number), value]));
    await receiver.transfer(state, { messagesMax: 30 });
    assert.equal(receiver.ranges.length, 1, "all rows are one range of 3 MB");
    let turnCount = 0;
    const clock = new SkippingClock();
    clock.yieldTurn = async () => {
      turnCount += 1;
    };
    const { keptCount } = await receiver.transfer(state, { clock, partRows: 5_000 });
    assert.equal(keptCount, 30);
    // 100 kB at the sender, 500 kB at the receiver.
    assert.equal(turnCount, 30 + 6);
  });
});

/** Returns a list of `count` ranges with the same digest. */
function listOf(count: number): HeldRange[] {
  const digest = hasher.hash(bytesOfText("rows"));
  return Array.from({ length: count }, (_, number) => ({
    end: bytesOfText(`m${String(number).padStart(6, "0")}`),
    digest,
  }));
}

function addRow(ranges: HeldRanges, key: string): void {
  const rows = [{ key: bytesOfText(key), value: bytesOfText("value") }];
  ranges.addRows(rows, encodePairs(rows));
}

describe("a list of ranges", () => {
  it("grows with the logarithm of the state", () => {
    const ranges = new HeldRanges({ hasher, bytesMin: 1 });
    for (let number = 0; number < 20_000; number += 1) {
      addRow(ranges, String(number).padStart(8, "0"));
    }
    const { length } = ranges.close();
    // 2,048 ranges of one row, then 2,048 for each factor of e: 2,048 * (1 + ln(20,000 / 2,048)).
    assert.ok(length > 4_000 && length < 6_800, `${length} ranges`);
  });

  it("has a limit, at which the last range grows", () => {
    const ranges = new HeldRanges({ hasher, bytesMin: 1, earlier: listOf(RANGES_MAX) });
    ranges.addKept(ranges.rangeToKeep(RANGES_MAX - 1), 1_000);
    for (let number = 0; number < RANGES_MAX + 10; number += 1) {
      addRow(ranges, `n${String(number).padStart(8, "0")}`);
    }
    const list = ranges.close();
    assert.ok(list.length <= RANGES_MAX);
    assert.deepEqual(list.at(-1)?.end, bytesOfText(`n${String(RANGES_MAX + 9).padStart(8, "0")}`));
  });

  it("merges its last ranges into one that is sent again, if an interruption makes it too long", () => {
    const ranges = new HeldRanges({ hasher, bytesMin: 1_000, earlier: listOf(RANGES_MAX) });
    addRow(ranges, "a");
    const list = ranges.close();
    assert.equal(list.length, RANGES_MAX);
    assert.deepEqual(list[0]?.end, bytesOfText("a"));
    assert.deepEqual(list[1], { end: bytesOfText("m000000"), digest: null });
    assert.deepEqual(list.at(-1), { end: listOf(RANGES_MAX).at(-1)?.end, digest: null });
  });

  it("is sent in pages, and read again", () => {
    const list = [
      ...listOf(20_000).slice(0, RANGES_MAX - 1),
      { end: bytesOfText("z"), digest: null },
    ];
    const pages = encodeRanges(list);
    assert.ok(pages.length > 1);
    for (const page of pages) assert.ok(page.length < 300_000);
    const found: HeldRange[] = [];
    for (const page of pages) decodeRanges(page, found);
    assert.deepEqual(found, list);
    assert.equal(encodeRanges([]).length, 1);
  });

  it("is refused if it is out of order, too long, or has a digest of another length", () => {
    const malformed = (pairs: KeyValue[], before: HeldRange[] = []): void =>
      assert.throws(() => decodeRanges(encodePairs(pairs), before), hasCode("PROTOCOL_ERROR"));
    const pair = (key: string, digestBytes: number): KeyValue => ({
      key: bytesOfText(key),
      value: new Uint8Array(digestBytes) as Digest,
    });
    malformed([pair("b", 32), pair("a", 32)]);
    malformed([pair("a", 32), pair("a", 32)]);
    malformed([pair("a", 16)]);
    malformed([pair("z", 32)], listOf(RANGES_MAX));
  });
});
