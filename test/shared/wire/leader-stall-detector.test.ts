import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LeaderStallDetector } from "../../../shared/wire/leader-stall-detector.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

describe("LeaderStallDetector", () => {
  it("makes one report at a time, for any number of pending calls", async () => {
    const clock = new VirtualClock();
    let asking = 0;
    let askingMax = 0;
    let askedCount = 0;
    const onStalled = async (): Promise<void> => {
      asking += 1;
      askedCount += 1;
      askingMax = Math.max(askingMax, asking);
      await clock.sleep(1_000);
      asking -= 1;
    };
    const detector = new LeaderStallDetector({ clock, stallTimeoutMs: 700, onStalled });
    for (let callCount = 0; callCount < 100; callCount += 1) {
      detector.onRequest("a:1"); // The master never replies.
      await clock.advance(200);
    }
    assert.equal(askingMax, 1);
    assert.ok(askedCount > 10, `${askedCount} times in 20 s`);
  });

  it("stops when all calls are answered, and starts again with the next call", async () => {
    const clock = new VirtualClock();
    let askedCount = 0;
    const onStalled = async (): Promise<void> => {
      askedCount += 1;
    };
    const detector = new LeaderStallDetector({ clock, stallTimeoutMs: 700, onStalled });
    for (const expected of [0, 1]) {
      detector.onRequest("a:1");
      await clock.advance(600);
      assert.equal(askedCount, expected);
      await clock.advance(200);
      assert.equal(askedCount, expected + 1);
      detector.onReply("a:1");
      await clock.advance(10_000);
      assert.equal(askedCount, expected + 1);
    }
  });

  it("leaves no timer after it was stopped, with and without a pending call", async () => {
    for (const isAnswered of [true, false]) {
      const clock = new VirtualClock();
      const detector = new LeaderStallDetector({
        clock,
        stallTimeoutMs: 700,
        onStalled: () => Promise.resolve(),
      });
      detector.onRequest("a:1");
      if (isAnswered) detector.onReply("a:1");
      detector.stop();
      assert.equal(await clock.step(), false);
      detector.onRequest("a:1");
      assert.equal(await clock.step(), false);
    }
  });
});
