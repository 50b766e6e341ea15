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

/** Returns a leader whose proposals fail with an AssertionError after `triggerBug`. */
function leaderWithBug(clock: VirtualClock) {
  let triggerBug = (): void => {};
  const proposed = new Promise<never>((_, reject) => {
    triggerBug = () => reject(new AssertionError("entries are applied without gaps"));
  });
  const status = () => ({ role: "leader", isReady: true, term: 1, members: [], appliedIndex: 1 });
  const deps = { env: { clock, log: new MemoryLog() }, consensus: { status } };
  return { ...deps, propose: () => proposed, triggerBug: () => triggerBug() };
}

async function endsWithBug(
  clock: VirtualClock,
  service: AsyncDisposable & { start(): void },
  triggerBug: () => void,
): Promise<void> {
  service.start();
  await clock.advance(1_000);
  const ended = service[Symbol.asyncDispose]();
  triggerBug();
  await assert.rejects(async () => ended, AssertionError);
}

describe("an assertion failure in a service of the leader", () => {
  it("ends the leader services and is not treated as an interrupted step", async () => {
    const clock = new VirtualClock();
    const { triggerBug, ...leader } = leaderWithBug(clock);
    const state = () => ({ clusterFacts: () => undefined });
    const prepared = { prepare: async () => {} };
    const deps = { ...leader, state, nowMs: () => 0, clock: prepared, newCluster: {} };
    const services = new LeaderServices(deps as unknown as LeaderServicesOptions);
    await endsWithBug(clock, services, triggerBug);
  });

  it("ends the state monitor", async () => {
    const clock = new VirtualClock();
    const { triggerBug, ...leader } = leaderWithBug(clock);
    const members = [{ id: 1 }, { id: 2 }];
    const consensus = { status: () => ({ ...leader.consensus.status(), members }) };
    const fetchReport = async () => ({ featureLevelMax: 2, marks: [] });
    const deps = { ...leader, consensus, featureLevel: () => 2, fetchReport, intervalMs: 500 };
    const monitor = new StateMonitor(deps as unknown as StateMonitorOptions);
    await endsWithBug(clock, monitor, triggerBug);
  });
});
