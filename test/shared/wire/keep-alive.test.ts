import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { KeepAlive } from "../../../shared/wire/keep-alive.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

function watch(clock: VirtualClock): { keepAlive: KeepAlive; pings: number[]; deaths: string[] } {
  const pings: number[] = [];
  const deaths: string[] = [];
  const keepAlive = new KeepAlive({
    clock,
    intervalMs: 1000,
    ping: () => pings.push(clock.monotonicMs()),
    onDead: (reason) => deaths.push(reason),
    isReadingPaused: () => false,
    writeProgress: () => null,
    stallTimeoutMs: 10_000,
  });
  return { keepAlive, pings, deaths };
}

describe("KeepAlive", () => {
  it("pings a silent peer twice, then reports it as dead", async () => {
    const clock = new VirtualClock();
    const { pings, deaths } = watch(clock);
    await clock.advance(10_000);
    assert.deepEqual(pings, [1000, 2000]);
    assert.deepEqual(deaths, ["it has sent no bytes for 3000 ms"]);
  });

  it("does not ping a peer that sends bytes", async () => {
    const clock = new VirtualClock();
    const { keepAlive, pings } = watch(clock);
    for (let step = 0; step < 50; step += 1) {
      await clock.advance(900);
      keepAlive.onBytes();
    }
    keepAlive.stop();
    assert.deepEqual(pings, []);
  });

  it("reads buffered bytes before it checks for silence: after a stall, timers run before I/O", async () => {
    const clock = new VirtualClock();
    const { keepAlive, deaths } = watch(clock);
    await clock.advance(2500);
    // The pong arrives at the end of the third interval, and is read after the timer runs.
    clock.after(500, () => keepAlive.onBytes());
    clock.stall(500);
    await clock.advance(1);
    keepAlive.stop();
    assert.deepEqual(deaths, []);
  });
});
