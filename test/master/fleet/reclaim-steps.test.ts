import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  LeaderServices,
  type LeaderServicesOptions,
} from "../../../master/fleet/leader-services.ts";
import type { Command } from "../../../master/namespace/command.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";

/** Records of a file that was created and unlinked, from feature level 14 on. */
const RECORDS_PER_FILE = 5;
/** Time of a reclaim entry on a busy leader. */
const ENTRY_MS = 15;
const SECONDS = 5;

/**
 * Runs the services of a leader with an endless backlog of reclaims.
 *
 * @param isRepairBusy whether each step of repair leaves work for the next one
 * @returns the numbers of files, entries and steps of repair in a second
 */
async function runWithBacklog(isRepairBusy: boolean) {
  const clock = new VirtualClock();
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
      await clock.sleep(ENTRY_MS);
    },
    nowMs: () => clock.monotonicMs(),
    clock: { prepare: async () => {} },
    registry: { beginTerm: () => {} },
    repair: {
      reset: () => {},
      step: () => {
        actions.push("repair");
        return isRepairBusy;
      },
    },
    sessions: { reset: () => {}, addKnown: () => {}, expired: () => [] },
    upgrade: { isPossible: false },
    historyVersionsMax: 1_000,
    newCluster: {},
  };
  await using services = new LeaderServices(deps as unknown as LeaderServicesOptions);
  services.start();
  await clock.advance(SECONDS * 1_000);
  const commands = actions.filter((action) => action !== "repair");
  const entries = commands.filter(({ kind }) => kind === "reclaim");
  const records = entries.reduce((sum, each) => sum + recordsOf(each), 0);
  return {
    files: records / RECORDS_PER_FILE / SECONDS,
    entries: entries.length / SECONDS,
    repairs: (actions.length - commands.length) / SECONDS,
  };
}

const recordsOf = (command: Command & { readonly recordsMax?: number }): number =>
  command.recordsMax ?? 0;

describe("the services of a leader with a backlog of reclaims", () => {
  it("reclaim 10,000 files a second", async () => {
    const { files, entries } = await runWithBacklog(false);
    assert.ok(files >= 10_000, `${files} files a second`);
    assert.ok(entries <= 48, `${entries} entries a second`);
  });

  it("repair as often as without a backlog, and reclaim no more than with an idle repair", async () => {
    const idle = await runWithBacklog(false);
    assert.ok(idle.repairs >= 3.5, `${idle.repairs} steps of an idle repair a second`);
    const busy = await runWithBacklog(true);
    assert.ok(busy.repairs >= 60, `${busy.repairs} steps of a busy repair a second`);
    assert.ok(busy.entries <= 48, `${busy.entries} entries a second`);
    assert.ok(busy.files >= 10_000, `${busy.files} files a second`);
  });
});
