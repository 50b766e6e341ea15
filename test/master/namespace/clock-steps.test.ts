import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LogIndex } from "../../../shared/base/ids.ts";
import {
  assertOk,
  at,
  chunksContent,
  DAY_MS,
  OWNER,
  SECOND_MS,
  sealed,
  TestStateMachine,
} from "./harness.ts";

const MINUTE_MS = 60 * SECOND_MS;
const TEN_YEARS_MS = 3_650 * DAY_MS;

/** Makes and removes a file. @returns the index at which it existed */
function removedFile(machine: TestStateMachine, path: string): LogIndex {
  const content = chunksContent(sealed(path.slice(1)));
  machine.run({ kind: "put", target: at(path), content, replace: false, ...OWNER } as never);
  const index = machine.namespace.appliedIndex;
  machine.nowMs += SECOND_MS;
  machine.run({ kind: "unlink", target: at(path) } as never);
  return index;
}

function step(machine: TestStateMachine, toMs: number): void {
  assertOk(machine.apply({ kind: "step-clock", fromMs: machine.nowMs, toMs }));
  machine.nowMs = toMs;
}

/** Makes an entry, and reclaims as a leader does. */
function passTime(machine: TestStateMachine, durationMs: number): void {
  machine.nowMs += durationMs;
  machine.run({ kind: "create", target: at(`/t${machine.nowMs}`), ...OWNER } as never);
  for (let entry = 0; entry < 50 && machine.namespace.reclaimPending(machine.nowMs); entry += 1) {
    assertOk(machine.apply({ kind: "reclaim", nowMs: machine.nowMs, recordsMax: 2_000 }));
  }
}

describe("a step of the clock", () => {
  it("forward by ten years keeps what was removed a minute ago for the whole retention", async () => {
    const machine = await TestStateMachine.make();
    const existed = removedFile(machine, "/precious");
    passTime(machine, MINUTE_MS);
    step(machine, machine.nowMs + TEN_YEARS_MS);
    passTime(machine, SECOND_MS);
    assert.equal(machine.namespace.stat(at("/precious"), existed).kind, "file");
    passTime(machine, DAY_MS - 2 * MINUTE_MS);
    assert.equal(machine.namespace.stat(at("/precious"), existed).kind, "file");
    passTime(machine, 3 * MINUTE_MS);
    assert.throws(() => machine.namespace.stat(at("/precious"), existed), {
      code: "INDEX_EXPIRED",
    });
  });

  it("back by ten years brings back honest times, and expiry continues", async () => {
    const machine = await TestStateMachine.make();
    const honestMs = machine.nowMs;
    const before = removedFile(machine, "/before");
    passTime(machine, 2 * SECOND_MS);
    const beforeStep = machine.namespace.appliedIndex;
    // Version 0.1.0 took over the clock of a leader that is ten years ahead.
    machine.nowMs = honestMs + TEN_YEARS_MS;
    machine.run({ kind: "create", target: at("/future"), ...OWNER } as never);
    const future = removedFile(machine, "/removed-in-the-future");
    step(machine, honestMs + MINUTE_MS);
    machine.run({ kind: "create", target: at("/now"), ...OWNER } as never);
    assert.equal(machine.namespace.stat(at("/now")).mtimeMs, honestMs + MINUTE_MS);
    // Times increase with the index.
    assert.equal(machine.namespace.timeOf(future), honestMs + MINUTE_MS);
    assert.ok(machine.namespace.timeOf(before) < honestMs + MINUTE_MS);
    assert.ok(machine.namespace.indexAt(honestMs + 30 * SECOND_MS) >= beforeStep);
    assert.ok(machine.namespace.indexAt(honestMs + 30 * SECOND_MS) < future);
    assert.equal(machine.namespace.stat(at("/removed-in-the-future"), future).kind, "file");
    passTime(machine, DAY_MS - MINUTE_MS);
    assert.equal(machine.namespace.stat(at("/removed-in-the-future"), future).kind, "file");
    passTime(machine, 2 * MINUTE_MS);
    assert.throws(() => machine.namespace.stat(at("/removed-in-the-future"), future), {
      code: "INDEX_EXPIRED",
    });
  });

  it("can be repeated in both directions, and the history floor never decreases", async () => {
    const machine = await TestStateMachine.make();
    let floor = machine.namespace.oldestReadableIndex();
    const deltas = [DAY_MS, -3 * DAY_MS, TEN_YEARS_MS, -TEN_YEARS_MS, 2 * DAY_MS, -DAY_MS];
    for (const [number, delta] of [...deltas, ...deltas].entries()) {
      const existed = removedFile(machine, `/f${number}`);
      step(machine, machine.nowMs + delta);
      passTime(machine, MINUTE_MS);
      assert.equal(machine.namespace.stat(at(`/f${number}`), existed).kind, "file");
      for (let hour = 0; hour < 26; hour += 1) passTime(machine, 60 * MINUTE_MS);
      const oldest = machine.namespace.oldestReadableIndex();
      assert.ok(oldest > existed, "26 hours are more than the retention");
      assert.ok(oldest >= floor);
      floor = oldest;
    }
  });

  it("is refused after 256 steps within the retention", async () => {
    const machine = await TestStateMachine.make();
    for (let count = 0; count < 256; count += 1) step(machine, machine.nowMs + SECOND_MS);
    const refused = machine.apply({ kind: "step-clock", fromMs: 0, toMs: 1 });
    assert.equal(refused?.ok === false && refused.code, "TOO_LARGE");
  });
});
