import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  LeaderServices,
  type LeaderServicesOptions,
} from "../../../master/fleet/leader-services.ts";
import { StateMonitor, type StateMonitorOptions } from "../../../master/fleet/state-monitor.ts";
import { AssertionError } from "../../../shared/base/assert.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";

/** A leader alone whose every proposal meets a bug, once `meetBug` is called. */
function leaderWithBug(clock: VirtualClock) {
  let meetBug = (): void => {};
  const proposed = new Promise<never>((_, reject) => {
    meetBug = () => reject(new AssertionError("entries are applied without gaps"));
  });
  const status = () => ({ role: "leader", isReady: true, term: 1, members: [], appliedIndex: 1 });
  const parts = { env: { clock, log: new MemoryLog() }, consensus: { status } };
  return { ...parts, propose: () => proposed, meetBug: () => meetBug() };
}

async function endsWithBug(
  clock: VirtualClock,
  service: AsyncDisposable & { start(): void },
  meetBug: () => void,
): Promise<void> {
  service.start();
  await clock.advance(1_000);
  const ended = service[Symbol.asyncDispose]();
  meetBug();
  await assert.rejects(async () => ended, AssertionError);
}

describe("a bug of the leader", () => {
  it("ends its services: it is no step that was cut short", async () => {
    const clock = new VirtualClock();
    const { meetBug, ...leader } = leaderWithBug(clock);
    const state = () => ({ clusterFacts: () => undefined });
    const parts = { ...leader, state, nowMs: () => 0, newCluster: {} };
    const services = new LeaderServices(parts as unknown as LeaderServicesOptions);
    await endsWithBug(clock, services, meetBug);
  });

  it("ends its watch over the states, too", async () => {
    const clock = new VirtualClock();
    const { meetBug, ...leader } = leaderWithBug(clock);
    const parts = { ...leader, featureLevel: () => 0, intervalMs: 500 };
    const watch = new StateMonitor(parts as unknown as StateMonitorOptions);
    await endsWithBug(clock, watch, meetBug);
  });
});
