import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FeatureUpgrade } from "../../../master/fleet/feature-upgrade.ts";
import {
  LeaderServices,
  type LeaderServicesOptions,
} from "../../../master/fleet/leader-services.ts";
import type { Command } from "../../../master/namespace/command.ts";
import {
  FEATURE_LEVEL_FIRST,
  FEATURE_LEVEL_MAX,
} from "../../../master/namespace/feature-levels.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";

/** The leader of a cluster that it has just created, with one other master. */
class NewCluster {
  readonly clock = new VirtualClock();
  isOtherUp = true;
  level = FEATURE_LEVEL_FIRST;
  repairSteps = 0;
  /** Whether each step of repair leaves work for the next one. */
  isRepairBusy = false;
  /** Calls to the other master. */
  calls = 0;
  /** Whether the state machine refuses the raise. */
  isRefused = false;
  housekeepingSteps = 0;
  readonly services: LeaderServices;

  constructor() {
    const { clock } = this;
    const members = [{ id: 1 }, { id: 2 }];
    const status = () => ({ role: "leader", isReady: true, term: 1, members, appliedIndex: 1 });
    const consensus = { status };
    const propose = async (command: Command): Promise<void> => {
      if (command.kind !== "raise-feature-level") return;
      if (this.isRefused) throw new AshlarError("PRECONDITION_FAILED", "Cannot raise the level");
      this.level = command.level;
    };
    const upgrade = new FeatureUpgrade({
      ...{ consensus, propose, featureLevel: () => this.level, random: new SeededRandom(1) },
      fetchReport: ({ id }: { readonly id: number }) => this.#report(id),
    } as unknown as ConstructorParameters<typeof FeatureUpgrade>[0]);
    const state = {
      ...{ clusterFacts: () => undefined, isUnused: true, appliedIndex: 1, intentFloor: () => 1 },
      ...{
        sessions: () => [],
        reclaimPending: () => false,
        hasExpiredTokens: () => false,
        removedServers: () => this.#noServers(),
      },
    };
    const nothing = { reset: () => {}, beginTerm: () => {}, addKnown: () => {}, expired: () => [] };
    this.services = new LeaderServices({
      ...{ consensus, propose, upgrade, state: () => state, nowMs: () => 0, newCluster: {} },
      ...{ env: { clock, log: new MemoryLog() }, clock: { prepare: async () => {} } },
      ...{ registry: nothing, sessions: nothing, historyVersionsMax: 1 },
      repair: { ...nothing, step: () => this.#repairStep() },
    } as unknown as LeaderServicesOptions);
  }

  #repairStep(): boolean {
    this.repairSteps += 1;
    return this.isRepairBusy;
  }

  #noServers(): [] {
    this.housekeepingSteps += 1;
    return [];
  }

  async #report(id: number): Promise<{ featureLevelMax: number }> {
    if (id !== 1) this.calls += 1;
    if (id !== 1 && !this.isOtherUp) {
      await this.clock.sleep(1_000);
      throw new AshlarError("DEADLINE_EXCEEDED", "No answer");
    }
    return { featureLevelMax: FEATURE_LEVEL_MAX };
  }
}

describe("the feature level of a new cluster", () => {
  it("is raised within a second", async () => {
    const cluster = new NewCluster();
    cluster.services.start();
    await cluster.clock.advance(1_000);
    assert.equal(cluster.level, FEATURE_LEVEL_MAX);
    await cluster.services[Symbol.asyncDispose]();
  });

  it("is tried again at growing intervals while a master is down, and delays no repair", async () => {
    const cluster = new NewCluster();
    cluster.isOtherUp = false;
    cluster.services.start();
    await cluster.clock.advance(600_000);
    assert.ok(cluster.calls <= 30, `${cluster.calls} calls to the other master`);
    assert.ok(cluster.repairSteps >= 2_200, `${cluster.repairSteps} steps of repair`);
    cluster.isOtherUp = true;
    await cluster.clock.advance(31_000);
    assert.equal(cluster.level, FEATURE_LEVEL_MAX);
    await cluster.services[Symbol.asyncDispose]();
  });

  it("is tried again at growing intervals after a refusal, and stops no housekeeping", async () => {
    const cluster = new NewCluster();
    cluster.isRefused = true;
    cluster.services.start();
    await cluster.clock.advance(600_000);
    assert.ok(cluster.calls <= 30, `${cluster.calls} attempts`);
    assert.ok(cluster.housekeepingSteps >= 500, `${cluster.housekeepingSteps} steps`);
    await cluster.services[Symbol.asyncDispose]();
  });
});

describe("the steps of repair", () => {
  it("follow each other five times as fast while repair has more work", async () => {
    const cluster = new NewCluster();
    cluster.level = FEATURE_LEVEL_MAX;
    cluster.services.start();
    await cluster.clock.advance(10_000);
    assert.equal(cluster.repairSteps, 40);
    cluster.isRepairBusy = true;
    await cluster.clock.advance(10_000);
    assert.ok(cluster.repairSteps >= 40 + 190, `${cluster.repairSteps} steps`);
    cluster.isRepairBusy = false;
    const before = cluster.repairSteps;
    await cluster.clock.advance(10_000);
    assert.ok(cluster.repairSteps <= before + 41, `${cluster.repairSteps - before} steps`);
    await cluster.services[Symbol.asyncDispose]();
  });
});
