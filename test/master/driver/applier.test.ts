import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Applier } from "../../../master/driver/applier.ts";
import type { Entry, StorageApply } from "../../../master/raft/messages.ts";
import type { StateMachine } from "../../../master/state-machine.ts";
import type { LogIndex, MemberId, Term } from "../../../shared/base/ids.ts";
import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";
import { bytesOfText, ToyMachine } from "./toy-machine.ts";

async function makeFixture(entryUnits: number) {
  const turns: number[] = [];
  class CountingClock extends VirtualClock {
    override yieldTurn(): Promise<void> {
      turns.push(machine.appliedIndex);
      return super.yieldTurn();
    }
  }
  const clock = new CountingClock();
  const machine = new ToyMachine(await new MemoryStores().open("state"));
  machine.entryUnits = entryUnits;
  const applier = new Applier({
    clock,
    log: new MemoryLog(),
    machine: () => machine as StateMachine,
    flushIntervalMs: 1_000,
    flushBytes: 1_000_000,
    unflushedBytesMax: 1_000_000,
    membershipAfter: () => null,
    onApplied: () => {},
    onBatch: () => {},
    onFlushed: () => {},
    onFull: () => {},
    onFailure: (error) => assert.fail(error),
  });
  return { clock, machine, applier, turns };
}

function batchOf(count: number): StorageApply {
  const entries = Array.from({ length: count }, (_, position): Entry => {
    const index = (position + 1) as LogIndex;
    return { index, term: 1 as Term, kind: "normal", data: bytesOfText(`entry ${index}`) };
  });
  return { entries, reply: { kind: "storage-applied", to: 1 as MemberId, entries } };
}

describe("a turn of the applier", () => {
  it("applies one entry of the greatest cost, then yields", async () => {
    const { clock, applier, turns } = await makeFixture(20_000);
    applier.enqueue(batchOf(5), "now");
    await clock.advance(1);
    assert.deepEqual(turns, [1, 2, 3, 4, 5]);
    await applier.stop({ isStoreGood: true });
  });

  it("applies many small entries", async () => {
    const { machine, applier } = await makeFixture(50);
    applier.enqueue(batchOf(90), "now");
    assert.equal(machine.appliedIndex, 90);
    await applier.stop({ isStoreGood: true });
  });
});
