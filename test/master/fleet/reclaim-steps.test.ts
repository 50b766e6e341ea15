import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  LeaderServices,
  type LeaderServicesOptions,
} from "../../../master/fleet/leader-services.ts";
import type { Command } from "../../../master/namespace/command.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";

/** Files that were created and unlinked in each entry of `reclaim`: it changes 8 records of each. */
const filesOf = ({ kind, recordsMax }: Command & { readonly recordsMax?: number }): number =>
  kind === "reclaim" ? Math.floor((recordsMax ?? 0) / 8) : 0;

/** Runs the services of a leader with an endless backlog. Resolves with their proposals and repairs. */
async function runWithBacklog(clock: VirtualClock, ms: number) {
  const actions: (Command | "repair")[] = [];
  const state = {
    clusterFacts: () => ({}),
    servers: () => [],
    sessions: () => [],
    removedServers: () => [],
    hasSession: () => false,
    intentFloor: () => 0,
    appliedIndex: 1,
    isUnused: false,
    reclaimPending: () => true,
  };
  const deps = {
    env: { clock, log: new MemoryLog() },
    consensus: { status: () => ({ role: "leader", isReady: true, term: 1 }) },
    state: () => state,
    propose: async (command: Command) => {
      actions.push(command);
      await clock.yieldTurn();
    },
    nowMs: () => clock.monotonicMs(),
    clock: { prepare: async () => {} },
    registry: { beginTerm: () => {} },
    repair: { reset: () => {}, step: () => actions.push("repair") },
    sessions: { reset: () => {}, addKnown: () => {}, expired: () => [] },
    upgrade: { isPossible: false },
    historyVersionsMax: 1_000,
    newCluster: {},
  };
  await using services = new LeaderServices(deps as unknown as LeaderServicesOptions);
  services.start();
  await clock.advance(ms);
  return actions;
}

describe("the services of a leader with a backlog of reclaims", () => {
  it("reclaim 10,000 files a second, and repair between the steps", async () => {
    const seconds = 5;
    const actions = await runWithBacklog(new VirtualClock(), seconds * 1_000);
    const commands = actions.filter((action) => action !== "repair");
    const files = commands.map(filesOf).reduce((sum, count) => sum + count, 0);
    assert.ok(files >= 10_000 * (seconds - 1), `${files} files`);
    const text = actions.map((action) => (action === "repair" ? "|" : "r")).join("");
    const longest = Math.max(...text.split("|").map((part) => part.length));
    assert.ok(longest <= 16, `${longest} entries between two repairs`);
  });
});
