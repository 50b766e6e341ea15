import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ProcessClock } from "./process-clock.ts";
import { VirtualClock } from "./virtual-clock.ts";

describe("the clock of a simulated process", () => {
  it("runs as fast as it is told: what it waits for comes early or late", async () => {
    const world = new VirtualClock();
    const fast = new ProcessClock(world, { rate: 1.25 });
    let dueMs = 0;
    fast.after(1_000, () => {
      dueMs = world.monotonicMs();
    });
    await world.advance(1_000);
    assert.equal(dueMs, 800);
    assert.equal(fast.monotonicMs(), 1_250);
  });

  it("shows another day after a jump, and no other time to those who measure", () => {
    const world = new VirtualClock();
    const clock = new ProcessClock(world, { wallOffsetMs: 500 });
    assert.equal(clock.wallMs(), world.wallMs() + 500);
    clock.jumpWall(-3_600_000);
    assert.equal(clock.wallMs(), world.wallMs() - 3_599_500);
    assert.equal(clock.monotonicMs(), 0);
  });

  it("does what fell due while it stood still when it goes on, in order", async () => {
    const world = new VirtualClock();
    const clock = new ProcessClock(world);
    const done: string[] = [];
    clock.after(10, () => done.push("first"));
    clock.after(20, () => done.push("second"));
    const cancelled = clock.after(30, () => done.push("cancelled"));
    clock.freeze();
    await world.advance(1_000);
    assert.deepEqual(done, []);
    cancelled.cancel();
    clock.thaw();
    await world.advance(0);
    assert.deepEqual(done, ["first", "second"]);
  });

  it("does nothing any more once it is dead, not even what was due", async () => {
    const world = new VirtualClock();
    const clock = new ProcessClock(world);
    let count = 0;
    const task = async (): Promise<void> => {
      for (;;) {
        await clock.sleep(10);
        count += 1;
      }
    };
    task().catch(() => {});
    await world.advance(35);
    clock.freeze();
    await world.advance(35);
    clock.kill();
    clock.thaw();
    await world.advance(1_000);
    assert.equal(count, 3);
  });
});
