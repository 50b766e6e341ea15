import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeRanges, type HeldRange } from "../../../master/driver/held-ranges.ts";
import type { OfferOutcome } from "../../../master/driver/snapshot-offers.ts";
import { type SnapshotHead, sendParts } from "../../../master/driver/snapshot-parts.ts";
import { SnapshotReceiver } from "../../../master/driver/snapshot-receiver.ts";
import { StateHolder } from "../../../master/driver/state-holder.ts";
import type { StateSnapshot } from "../../../master/state-machine.ts";
import { StateStores } from "../../../master/storage/state-stores.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { LogIndex, MemberId, Term } from "../../../shared/base/ids.ts";
import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import type { SnapshotReply } from "../../../shared/protocol/raft-api.ts";
import type { Received, Stream } from "../../../shared/wire/rpc.ts";
import { MemoryDisk } from "../../support/memory-disk.ts";
import { hasCode, MemoryLog } from "../../support/wire-fixture.ts";
import { hasher } from "../namespace/harness.ts";
import { bytesOfText, ToyMachine } from "./toy-machine.ts";

type Incoming = Received<SnapshotHead> | null;

/** The stream of a transfer at the receiver. A test pushes the messages of the sender. */
class TestStream implements Stream<SnapshotReply, SnapshotHead> {
  readonly sent: { readonly head: SnapshotReply; readonly body: Uint8Array }[] = [];
  readonly pendingBytes = 0;
  readonly #queue: Incoming[] = [];
  #reader: { resolve: (message: Incoming) => void; reject: (error: Error) => void } | null = null;
  #error: AshlarError | null = null;

  push(head: SnapshotHead, body: Uint8Array = new Uint8Array(0)): void {
    const message = { head, body, release: () => {} };
    if (this.#reader === null) this.#queue.push(message);
    else this.#reader.resolve(message);
    this.#reader = null;
  }

  receive(): Promise<Incoming> {
    if (this.#error !== null) return Promise.reject(this.#error);
    const next = this.#queue.shift();
    if (next !== undefined) return Promise.resolve(next);
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
    });
  }

  async send(head: SnapshotReply, body: Uint8Array = new Uint8Array(0)): Promise<void> {
    this.sent.push({ head, body });
  }

  cancel(error: AshlarError): void {
    this.#error = error;
    this.#reader?.reject(error);
    this.#reader = null;
  }

  flush(): void {}
  end(): void {}

  async room(): Promise<void> {}

  hasRoom(): boolean {
    return true;
  }
}

/** A receiver whose core answers each offer with `outcome`. */
class TestReceiver {
  readonly clock = new SystemClock();
  readonly receiver: SnapshotReceiver;
  outcome: OfferOutcome = "installed";
  isNeeded = true;

  private constructor(states: StateStores, holder: StateHolder, log: MemoryLog) {
    this.receiver = new SnapshotReceiver({
      clock: this.clock,
      hasher,
      log,
      states,
      holder,
      memberId: 3 as MemberId,
      founders: {
        voters: [],
        votersOutgoing: [],
        learners: [],
        learnersNext: [],
        autoLeave: false,
      },
      rangeBytesMin: 1,
      stallMs: 10_000,
      isNeeded: () => this.isNeeded,
      isCurrent: () => true,
      offer: async () => this.outcome,
    });
  }

  static async open(): Promise<TestReceiver> {
    const log = new MemoryLog();
    const stores = new MemoryStores();
    const states = await StateStores.open({
      stores,
      disk: new MemoryDisk().mount(),
      hasher,
      log,
      wasLogBegun: false,
    });
    const openStateMachine = (store: ConstructorParameters<typeof ToyMachine>[0]): ToyMachine =>
      new ToyMachine(store);
    return new TestReceiver(states, await StateHolder.open({ states, openStateMachine, log }), log);
  }

  begin(leaderTerm: number, snapshot: StateSnapshot): { stream: TestStream; done: Promise<void> } {
    const stream = new TestStream();
    const { index, term, membership } = snapshot;
    const opening = { from: 1 as MemberId, index, term, membership, resumes: true };
    const done = this.receiver.receive({ ...opening, leaderTerm: leaderTerm as Term }, stream);
    done.catch(() => {}); // The test awaits it later.
    return { stream, done };
  }

  /** Resolves with the ranges that the receiver sends at the begin of a transfer. */
  async rangesOn(stream: TestStream): Promise<readonly HeldRange[]> {
    while (stream.sent.every(({ head }) => head.kind !== "held" || !head.isLast)) {
      await this.clock.yieldTurn();
    }
    const ranges: HeldRange[] = [];
    for (const { body } of stream.sent) decodeRanges(body, ranges);
    return ranges;
  }

  /** Sends the whole snapshot. Returns the number of rows that the receiver did not have. */
  async transfer(leaderTerm: number, snapshot: StateSnapshot): Promise<number> {
    const { stream, done } = this.begin(leaderTerm, snapshot);
    const ranges = await this.rangesOn(stream);
    const keep = async (range: number): Promise<void> => stream.push({ kind: "keep", range });
    const turn = (): Promise<void> => this.clock.yieldTurn();
    const options = { turn, hasher, partBytes: 200, onDamage: () => {} };
    const send = async (head: SnapshotHead, body?: Uint8Array): Promise<void> =>
      stream.push(head, body);
    const drop = async (range: number): Promise<void> => stream.push({ kind: "drop", range });
    const { sentCount } = await sendParts(snapshot, options, send, { ranges, keep, drop });
    await done;
    return sentCount;
  }
}

/** Returns the state after `count` entries. It has a row for each entry, and one for the position. */
async function snapshotOf(count: number): Promise<StateSnapshot> {
  const machine = new ToyMachine(await new MemoryStores().open("sender"));
  for (let index = 1; index <= count; index += 1) {
    const data = bytesOfText(`command ${index}`);
    machine.apply({ index: index as LogIndex, term: 1 as Term, data, membership: null });
  }
  await machine.flush();
  return machine.openSnapshot();
}

describe("the receiver of snapshots", () => {
  it("keeps a complete snapshot that the core refuses and still needs", async () => {
    const test = await TestReceiver.open();
    test.outcome = "refused"; // The leader has changed since the transfer began.
    await assert.rejects(test.transfer(1, await snapshotOf(50)), hasCode("UNAVAILABLE"));
    assert.ok(test.receiver.holdsRows);
    await assert.rejects(test.transfer(2, await snapshotOf(60)), hasCode("UNAVAILABLE"));
    test.outcome = "installed";
    assert.equal(await test.transfer(3, await snapshotOf(60)), 0, "the receiver has all rows");
    await test.receiver.close();
  });

  it("discards a complete snapshot that the core does not need", async () => {
    const test = await TestReceiver.open();
    test.outcome = "refused";
    const { stream, done } = test.begin(1, await snapshotOf(5));
    await test.rangesOn(stream);
    test.isNeeded = false;
    const send = async (head: SnapshotHead, body?: Uint8Array): Promise<void> =>
      stream.push(head, body);
    const turn = (): Promise<void> => test.clock.yieldTurn();
    const options = { turn, hasher, partBytes: 200, onDamage: () => {} };
    await sendParts(await snapshotOf(5), options, send);
    await assert.rejects(done, hasCode("UNAVAILABLE"));
    assert.ok(!test.receiver.holdsRows);
    await test.receiver.close();
  });

  it("ends a transfer when the same or a later leader begins another one", async () => {
    const test = await TestReceiver.open();
    const snapshot = await snapshotOf(5);
    const first = test.begin(1, snapshot);
    await test.rangesOn(first.stream);
    const second = test.begin(1, snapshot);
    await assert.rejects(first.done, hasCode("CANCELLED"));
    await test.rangesOn(second.stream);
    const third = test.begin(3, snapshot);
    await assert.rejects(second.done, hasCode("CANCELLED"));
    await test.rangesOn(third.stream);
    await assert.rejects(test.begin(2, snapshot).done, hasCode("OVERLOADED"));
    const fourth = test.begin(3, snapshot);
    const fifth = test.begin(3, snapshot);
    for (const { done } of [third, fourth]) await assert.rejects(done, hasCode("CANCELLED"));
    await test.rangesOn(fifth.stream);
    fifth.stream.cancel(new AshlarError("CANCELLED", "The test ends the transfer"));
    await assert.rejects(fifth.done, hasCode("CANCELLED"));
    await test.receiver.close();
  });
});
