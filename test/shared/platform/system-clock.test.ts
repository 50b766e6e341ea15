import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, it } from "node:test";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { SystemRandom } from "../../../shared/platform/system-random.ts";

const clock = new SystemClock();
const YEAR_MS = 365 * 24 * 3600 * 1000;

describe("system clock", () => {
  it("has a monotonic time that does not decrease, and a wall time of this century", () => {
    const first = clock.monotonicMs();
    assert.ok(clock.monotonicMs() >= first);
    assert.ok(clock.wallMs() > 50 * YEAR_MS && clock.wallMs() < 150 * YEAR_MS);
  });

  it("sleeps at least for the duration", async () => {
    const start = clock.monotonicMs();
    await clock.sleep(20);
    assert.ok(clock.monotonicMs() - start >= 19);
  });

  it("rejects a sleep with the signal's reason, before or during the sleep", async () => {
    const reason = new Error("stopped");
    await assert.rejects(clock.sleep(YEAR_MS, AbortSignal.abort(reason)), reason);
    const controller = new AbortController();
    const sleep = clock.sleep(YEAR_MS, controller.signal);
    controller.abort(reason);
    await assert.rejects(sleep, reason);
  });

  it("leaves no listener on the signal after a sleep", async () => {
    const controller = new AbortController();
    for (let i = 0; i < 5; i += 1) await clock.sleep(0, controller.signal);
    assert.equal(getEventListeners(controller.signal, "abort").length, 0);
  });

  it("runs a task once, and never after its cancellation", async () => {
    let count = 0;
    clock.after(1, () => {
      count += 1;
    });
    const cancelled = clock.after(1, () => {
      count += 100;
    });
    cancelled.cancel();
    await clock.sleep(30);
    cancelled.cancel();
    assert.equal(count, 1);
  });

  it("does not run a task immediately that is due in a month, as setTimeout alone would", async () => {
    let ran = false;
    const due = () => {
      ran = true;
    };
    const timers = [YEAR_MS, Number.POSITIVE_INFINITY].map((ms) => clock.after(ms, due));
    await clock.sleep(20);
    for (const timer of timers) timer.cancel();
    assert.equal(ran, false);
  });

  it("runs queued work before `yieldTurn` resolves", async () => {
    const order: string[] = [];
    setImmediate(() => order.push("queued"));
    await clock.yieldTurn();
    order.push("after the turn");
    assert.deepEqual(order, ["queued", "after the turn"]);
  });
});

describe("system random", () => {
  it("returns fractions in [0, 1) and different bytes", () => {
    const random = new SystemRandom();
    for (let i = 0; i < 1000; i += 1) {
      const fraction = random.fraction();
      assert.ok(fraction >= 0 && fraction < 1);
    }
    assert.equal(random.bytes(33).length, 33);
    assert.notDeepEqual(random.bytes(16), random.bytes(16));
    assert.equal(Object.getPrototypeOf(random.bytes(1)), Uint8Array.prototype);
  });
});
