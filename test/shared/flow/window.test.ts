import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { mapInWindow } from "../../../shared/flow/window.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

async function* count(upTo: number, onTaken: () => void = () => {}): AsyncGenerator<number> {
  for (let item = 0; item < upTo; item += 1) {
    onTaken();
    yield item;
  }
}

describe("mapInWindow", () => {
  it("yields in the order of the items, not in the order in which the tasks end", async () => {
    const clock = new VirtualClock();
    const collect = async (): Promise<number[]> => {
      const results: number[] = [];
      const task = async (item: number): Promise<number> => {
        await clock.sleep((item * 7) % 5);
        return item * 2;
      };
      for await (const result of mapInWindow(count(20), 4, task)) results.push(result);
      return results;
    };
    const results = await clock.advanceFor(collect(), "the results");
    assert.deepEqual(
      results,
      Array.from({ length: 20 }, (_, item) => item * 2),
    );
  });

  it("runs at most `windowSize` tasks, and takes at most that many items ahead", async () => {
    let running = 0;
    let runningMax = 0;
    let takenCount = 0;
    const clock = new VirtualClock();
    const task = async (): Promise<void> => {
      running += 1;
      runningMax = Math.max(runningMax, running);
      await clock.sleep(1);
      running -= 1;
    };
    const source = count(1000, () => {
      takenCount += 1;
    });
    const results = mapInWindow(source, 3, task);
    await clock.advanceFor(results.next(), "the first result");
    await clock.advance(1000);
    assert.equal(takenCount, 3, "a slow consumer slows the source");
    assert.equal(runningMax, 3);
    await clock.advanceFor(results.return(), "the end");
  });

  it("throws the first error in the order of the items, after all tasks have ended", async () => {
    let doneCount = 0;
    const clock = new VirtualClock();
    const task = async (item: number): Promise<void> => {
      await clock.sleep(10 - item);
      doneCount += 1;
      if (item >= 2) throw new Error(`task ${item}`);
    };
    const run = async (): Promise<void> => {
      for await (const _ of mapInWindow(count(10), 5, task));
    };
    await assert.rejects(clock.advanceFor(run(), "the error"), /task 2/);
    const doneBefore = doneCount;
    await clock.advance(100);
    assert.equal(doneCount, doneBefore);
  });
});
