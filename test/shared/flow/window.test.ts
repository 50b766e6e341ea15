import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { ByteBudget, mapInWindow } from "../../../shared/flow/window.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

async function* count(upTo: number, onTaken: () => void = () => {}): AsyncGenerator<number> {
  for (let item = 0; item < upTo; item += 1) {
    onTaken();
    yield item;
  }
}

describe("mapInWindow", () => {
  it("yields in the order of the items, whichever is done first", async () => {
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

  it("runs no more tasks than the window has room for, and takes no more items", async () => {
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

  it("throws the first error in order, when no task is left running", async () => {
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

describe("ByteBudget", () => {
  it("lets through what fits, in the order of the calls", async () => {
    const budget = new ByteBudget(100);
    await budget.acquire(60);
    const order: string[] = [];
    const large = budget.acquire(100).then(() => order.push("large"));
    const small = budget.acquire(10).then(() => order.push("small"));
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(order, []);
    budget.release(60);
    await large;
    budget.release(100);
    await small;
    assert.deepEqual(order, ["large", "small"]);
    budget.release(10);
    assert.equal(budget.usedBytes, 0);
  });

  it("lets one through that is larger than the budget, alone", async () => {
    const budget = new ByteBudget(100);
    await budget.acquire(1000);
    let isServed = false;
    const next = budget.acquire(1).then(() => {
      isServed = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(isServed, false);
    budget.release(1000);
    await next;
  });

  it("takes nothing for a caller that gives up, and serves the next", async () => {
    const budget = new ByteBudget(100);
    await budget.acquire(100);
    const controller = new AbortController();
    const cancelled = budget.acquire(100, controller.signal);
    const next = budget.acquire(40);
    controller.abort();
    await assert.rejects(cancelled, (error) => isAshlarError(error, "CANCELLED"));
    await assert.rejects(budget.acquire(1, controller.signal), (error) => isAshlarError(error));
    budget.release(100);
    await next;
    assert.equal(budget.usedBytes, 40);
  });

  it("stops at a release of more than was acquired", async () => {
    const budget = new ByteBudget(100);
    assert.throws(() => budget.release(1), /more comes back/);
  });
});
