import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LeaderStallDetector } from "../../../shared/wire/leader-stall-detector.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

describe("doubt about a leader", () => {
  it("asks the others once at a time, however many calls come and wait meanwhile", async () => {
    const clock = new VirtualClock();
    let asking = 0;
    let askingMax = 0;
    let askedCount = 0;
    const suspect = async (): Promise<void> => {
      asking += 1;
      askedCount += 1;
      askingMax = Math.max(askingMax, asking);
      await clock.sleep(1_000);
      asking -= 1;
    };
    const doubt = new LeaderStallDetector({ clock, afterMs: 700, suspect });
    for (let callCount = 0; callCount < 100; callCount += 1) {
      doubt.asked("a:1"); // It never answers.
      await clock.advance(200);
    }
    assert.equal(askingMax, 1);
    assert.ok(askedCount > 10, `${askedCount} times in 20 s`);
  });

  it("is over when all is answered, and comes again with the next call", async () => {
    const clock = new VirtualClock();
    let askedCount = 0;
    const suspect = async (): Promise<void> => {
      askedCount += 1;
    };
    const doubt = new LeaderStallDetector({ clock, afterMs: 700, suspect });
    for (const expected of [0, 1]) {
      doubt.asked("a:1");
      await clock.advance(600);
      assert.equal(askedCount, expected);
      await clock.advance(200);
      assert.equal(askedCount, expected + 1);
      doubt.heard("a:1");
      await clock.advance(10_000);
      assert.equal(askedCount, expected + 1);
    }
  });
});
