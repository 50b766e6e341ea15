import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ProcessClock } from "./process-clock.ts";
import { VirtualClock } from "./virtual-clock.ts";

describe("ProcessClock", () => {
  it("runs timers early or late by its rate", async () => {
    const base = new VirtualClock();
    const fast = new ProcessClock(base, { rate: 1.25 });
    let dueMs = 0;
    fast.after(1_000, () => {
      dueMs = base.monotonicMs();
    });
    await base.advance(1_000);
    assert.equal(dueMs, 800);
    assert.equal(fast.monotonicMs(), 1_250);
  });

  it("changes the wall clock in a jump, and not the monotonic clock", () => {
    const base = new VirtualClock();
    const clock = new ProcessClock(base, { wallOffsetMs: 500 });
    assert.equal(clock.wallMs(), base.wallMs() + 500);
    clock.jumpWall(-3_600_000);
    assert.equal(clock.wallMs(), base.wallMs() - 3_599_500);
    assert.equal(clock.monotonicMs(), 0);
  });

  it("runs the tasks that became due during a pause after the resume, in order", async () => {
    const base = new VirtualClock();
    const clock = new ProcessClock(base);
    const done: string[] = [];
    clock.after(10, () => done.push("first"));
    clock.after(20, () => done.push("second"));
    const cancelled = clock.after(30, () => done.push("cancelled"));
    clock.freeze();
    await base.advance(1_000);
    assert.deepEqual(done, []);
    cancelled.cancel();
    clock.thaw();
    await base.advance(0);
    assert.deepEqual(done, ["first", "second"]);
  });

  it("runs no task after the process was killed, even if the task is due", async () => {
    const base = new VirtualClock();
    const clock = new ProcessClock(base);
    let count = 0;
    const task = async (): Promise<void> => {
      for (;;) {
        await clock.sleep(10);
        count += 1;
      }
    };
    task().catch(() => {});
    await base.advance(35);
    clock.freeze();
    await base.advance(35);
    clock.kill();
    clock.thaw();
    await base.advance(1_000);
    assert.equal(count, 3);
  });
});
