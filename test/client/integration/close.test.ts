import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { connect } from "../../../client/connect.ts";
import type { ClusterId } from "../../../shared/base/ids.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import type { Clock, Timer } from "../../../shared/ports/clock.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";
import { makeEnv } from "../support/loopback-cluster.ts";
import { startRealMasters } from "../support/real-masters.ts";

/** A system clock that knows its pending timers: each of them keeps a process alive. */
class CountingClock implements Clock {
  readonly #clock = new SystemClock();
  /** Where each pending timer was set. */
  readonly pending = new Set<string>();
  #timerCount = 0;

  monotonicMs(): number {
    return this.#clock.monotonicMs();
  }

  wallMs(): number {
    return this.#clock.wallMs();
  }

  async sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
    const id = this.#add();
    try {
      await this.#clock.sleep(durationMs, signal);
    } finally {
      this.pending.delete(id);
    }
  }

  after(durationMs: number, task: () => void): Timer {
    const id = this.#add();
    const timer = this.#clock.after(durationMs, () => {
      this.pending.delete(id);
      task();
    });
    return {
      cancel: () => {
        this.pending.delete(id);
        timer.cancel();
      },
    };
  }

  yieldTurn(): Promise<void> {
    return this.#clock.yieldTurn();
  }

  afterReactions(task: () => void): void {
    this.#clock.afterReactions(task);
  }

  #add(): string {
    this.#timerCount += 1;
    const id = `${this.#timerCount}: ${new Error("set here").stack}`;
    this.pending.add(id);
    return id;
  }
}

describe("a file system that is closed", () => {
  it("leaves no timer, so that a command ends as soon as its work is done", async () => {
    await using masters = await startRealMasters({
      count: 1,
      clusterId: "e".repeat(32) as ClusterId,
      makeEnv: () => makeEnv(new MemoryLog()),
      settings: {},
    });
    const clock = new CountingClock();
    const addresses = masters.members.map((member) => member.address);
    for (const readMode of ["linearizable", "stale"] as const) {
      const fileSystem = await connect({
        masters: addresses,
        env: { ...makeEnv(new MemoryLog()), clock },
        readMode,
      });
      await fileSystem.create(`/${readMode}`);
      await fileSystem.writeFile(`/${readMode}.data`, new TextEncoder().encode("abc"));
      await fileSystem.stat("/");
      await fileSystem[Symbol.asyncDispose]();
      assert.deepEqual([...clock.pending], []);
    }
  });
});
