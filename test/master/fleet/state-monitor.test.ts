import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { propose } from "../../../master/api/leader-context.ts";
import {
  FeatureUpgrade,
  type FeatureUpgradeOptions,
} from "../../../master/fleet/feature-upgrade.ts";
import {
  reportOf,
  StateMonitor,
  type StateMonitorOptions,
  type StateReport,
} from "../../../master/fleet/state-monitor.ts";
import type { Command, Success } from "../../../master/namespace/command.ts";
import { FEATURE_LEVEL_MAX } from "../../../master/namespace/feature-levels.ts";
import { Namespace } from "../../../master/namespace/namespace.ts";
import { AssertionError, unreachable } from "../../../shared/base/assert.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { OrderedStore } from "../../../shared/ports/ordered-store.ts";
import type { FinalizedUpgrade } from "../../../shared/protocol/masters-api.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { addressOf, TestGroup, type TestMember } from "../driver/test-group.ts";
import { BOOTSTRAP, hasher, START_MS } from "../namespace/harness.ts";

/** A group of drivers with namespaces as states, and a state monitor for each leader. */
class MonitoredGroup {
  readonly group: TestGroup;
  /** The opened stores. The first three belong to members 1 to 3. */
  readonly stores: OrderedStore[] = [];
  /** Values that replace those in the report of a member. Null if the member does not answer. */
  readonly reportOverrides = new Map<number, Partial<StateReport> | null>();
  readonly monitors = new Map<TestMember, StateMonitor>();

  constructor() {
    this.group = new TestGroup({
      openStateMachine: (store) => {
        this.stores.push(store);
        return Namespace.open({ store, hasher });
      },
    });
  }

  /** Starts a group at the highest feature level. */
  static async start(): Promise<MonitoredGroup> {
    const monitored = await MonitoredGroup.startAtFirstLevel();
    await monitored.finalizeUpgrade();
    return monitored;
  }

  static async startAtFirstLevel(): Promise<MonitoredGroup> {
    const monitored = new MonitoredGroup();
    for (const member of monitored.group.members) await monitored.group.startMember(member);
    await monitored.propose(BOOTSTRAP);
    return monitored;
  }

  async finalizeUpgrade(): Promise<FinalizedUpgrade> {
    const leader = await this.group.leader();
    const upgrade = new FeatureUpgrade(this.#optionsOf(leader));
    return this.group.clock.advanceFor(upgrade.finalize(), "the feature level is raised");
  }

  namespace(member: TestMember): Namespace {
    return member.running.stateMachine as Namespace;
  }

  async propose(command: Command): Promise<Success> {
    const leader = await this.group.leader();
    const proposed = this.proposeAt(leader, command);
    return this.group.clock.advanceFor(proposed, `${command.kind} is committed`);
  }

  proposeAt(member: TestMember, command: Command): Promise<Success> {
    const namespace = (): Namespace => this.namespace(member);
    return propose({ consensus: member.running, namespace, nowMs: () => START_MS }, command);
  }

  async openSession(): Promise<Success> {
    return this.propose({ kind: "open-session", nowMs: START_MS, clientName: "test" });
  }

  /** Runs one step of the leader's monitor, then lets all members flush their states. */
  async step(): Promise<void> {
    const leader = await this.group.leader();
    const stepped = this.monitorOf(leader).step();
    await this.group.clock.advanceFor(stepped, "the leader has compared the states");
    const settled = this.group.clock.sleep(3_000);
    await this.group.clock.advanceFor(settled, "all members have flushed");
  }

  monitorOf(leader: TestMember): StateMonitor {
    const known = this.monitors.get(leader);
    if (known !== undefined) return known;
    const monitor = new StateMonitor({ ...this.#optionsOf(leader), intervalMs: 30_000 });
    this.monitors.set(leader, monitor);
    return monitor;
  }

  #optionsOf(leader: TestMember): Omit<StateMonitorOptions, "intervalMs"> & FeatureUpgradeOptions {
    return {
      env: { clock: this.group.clock, log: leader.log },
      consensus: leader.running,
      random: new SeededRandom(1),
      featureLevel: () => this.namespace(leader).featureLevel,
      fetchReport: async ({ id }) => this.#report(id),
      propose: (command: Command) => this.proposeAt(leader, command),
    };
  }

  #report(id: number): StateReport {
    const member = this.group.member(id);
    const claim = this.reportOverrides.get(id);
    if (claim === null || !member.isUp || member.fatal !== null) {
      throw new AshlarError("UNAVAILABLE", "Cannot ask a member that is down");
    }
    const marks = this.namespace(member).checkpointMarks;
    return { featureLevelMax: FEATURE_LEVEL_MAX, marks, ...claim };
  }
}

/** Flips one bit of a row in the store of a member. */
async function damage(store: OrderedStore): Promise<void> {
  const key = new TextEncoder().encode("tstandard");
  const value = store.get(key)?.slice();
  assert.ok(value !== undefined, "the storage class is in the store");
  value[value.length - 1] = (value.at(-1) ?? 0) ^ 1;
  await store.commit([{ key, value }]);
}

describe("the report of a member", () => {
  it("is missing if the member does not answer, but not after a bug of this program", async () => {
    const silent = async (): Promise<never> => {
      throw new AshlarError("UNAVAILABLE", "No answer");
    };
    const faulty = async (): Promise<never> => unreachable("report" as never);
    const member = { id: 1, address: "m:1" } as Parameters<typeof reportOf>[0];
    assert.equal(await reportOf(member, silent), null);
    await assert.rejects(reportOf(member, faulty), AssertionError);
    const consensus = { status: () => ({ members: [member] }) };
    const options = { consensus, featureLevel: () => 1, fetchReport: faulty };
    const upgrade = new FeatureUpgrade(options as unknown as FeatureUpgradeOptions);
    await assert.rejects(upgrade.finalize(), AssertionError);
  });
});

const fatalCodeOf = (member: TestMember): string | undefined => member.fatal?.code;

describe("the state monitor", () => {
  it("stops only the member whose state has diverged", async () => {
    const monitored = await MonitoredGroup.start();
    const { group } = monitored;
    await monitored.step();
    const leader = await group.leader();
    const victim = group.members.find((member) => member !== leader) as TestMember;
    await damage(monitored.stores[victim.id - 1] as OrderedStore);
    // Rewriting the corrupt row removes a hash that was never added, so the state hash changes.
    await monitored.propose({
      kind: "define-storage-class",
      nowMs: START_MS,
      attempt: {
        sessionId: (await monitored.openSession()).index as never,
        sequence: 1,
        firstUnacknowledged: 1,
      },
      storageClass: { ...BOOTSTRAP.defaultClass, racksMin: 1 },
    });
    await monitored.step();
    assert.equal(fatalCodeOf(victim), undefined);
    await monitored.step();
    assert.equal(fatalCodeOf(victim), "STATE_DIVERGED");
    for (const member of group.members) if (member !== victim) assert.equal(member.fatal, null);
    assert.ok(leader.log.lines.some((line) => JSON.stringify(line).includes("these members stop")));
    await monitored.openSession();
    await group.stopAll();
  });

  it("stops the leader if its own state has diverged", async () => {
    const monitored = await MonitoredGroup.start();
    const { group } = monitored;
    await monitored.step();
    const leader = await group.leader();
    const { index: sessionId } = await monitored.openSession();
    await damage(monitored.stores[leader.id - 1] as OrderedStore);
    await monitored.propose({
      kind: "define-storage-class",
      nowMs: START_MS,
      attempt: { sessionId: sessionId as never, sequence: 1, firstUnacknowledged: 1 },
      storageClass: { ...BOOTSTRAP.defaultClass, racksMin: 1 },
    });
    await monitored.step();
    await group.clock.advanceFor(
      monitored
        .monitorOf(leader)
        .step()
        .catch(() => {}),
      "the leader has applied the verdict",
    );
    assert.equal(fatalCodeOf(leader), "STATE_DIVERGED");
    group.kill(leader);
    await monitored.openSession();
    await group.stopAll();
  });

  it("stops no member without a majority of equal states", async () => {
    const monitored = await MonitoredGroup.start();
    await monitored.step();
    await monitored.openSession();
    await monitored.step();
    const leader = await monitored.group.leader();
    const [other, away] = monitored.group.members.filter((member) => member !== leader);
    const marks = monitored.namespace(leader).checkpointMarks.map((mark) => ({
      ...mark,
      stateHash: new Uint8Array(16).fill(9),
    }));
    monitored.reportOverrides.set(other?.id ?? 0, { marks });
    monitored.reportOverrides.set(away?.id ?? 0, null);
    await monitored.openSession();
    await monitored.step();
    assert.ok(leader.log.lines.some((line) => JSON.stringify(line).includes("no majority")));
    for (const member of monitored.group.members) assert.equal(member.fatal, null);
    await monitored.group.stopAll();
  });

  it("proposes no checkpoint while the state does not change", async () => {
    const monitored = await MonitoredGroup.start();
    for (let step = 0; step < 3; step += 1) await monitored.step();
    const leader = await monitored.group.leader();
    const { appliedIndex } = leader.running.status();
    for (let step = 0; step < 5; step += 1) await monitored.step();
    assert.equal(leader.running.status().appliedIndex, appliedIndex);
    await monitored.group.stopAll();
  });
});

describe("the feature level of a cluster", () => {
  it("is not raised by itself, and refuses commands that an older member does not support", async () => {
    const monitored = await MonitoredGroup.startAtFirstLevel();
    const leader = await monitored.group.leader();
    const checkpoint: Command = { kind: "checkpoint", verdict: null };
    for (let step = 0; step < 3; step += 1) await monitored.step();
    const { lastIndex } = leader.running.status();
    await assert.rejects(monitored.proposeAt(leader, checkpoint), { code: "VERSION_MISMATCH" });
    assert.equal(leader.running.status().lastIndex, lastIndex);
    const levels = { before: 1, after: FEATURE_LEVEL_MAX, olderMasters: [] };
    assert.deepEqual(await monitored.finalizeUpgrade(), levels);
    await monitored.propose(checkpoint);
    await monitored.group.stopAll();
  });

  it("rises to what every member supports, and only if every member answers", async () => {
    const monitored = await MonitoredGroup.startAtFirstLevel();
    monitored.reportOverrides.set(3, { featureLevelMax: 1 });
    const { address } = addressOf(monitored.group.member(3));
    const olderMasters = (featureLevelMax: number) => [{ id: 3, address, featureLevelMax }];
    const held = { before: 1, after: 1, olderMasters: olderMasters(1) };
    assert.deepEqual(await monitored.finalizeUpgrade(), held);
    monitored.reportOverrides.set(3, { featureLevelMax: 2 });
    assert.deepEqual(await monitored.finalizeUpgrade(), {
      ...{ before: 1, after: 2, olderMasters: olderMasters(2) },
    });
    monitored.reportOverrides.set(3, null);
    await assert.rejects(monitored.finalizeUpgrade(), /none from master 3/);
    await monitored.step(); // Until the followers have applied the entries.
    for (const member of monitored.group.members) {
      assert.equal(monitored.namespace(member).featureLevel, 2);
    }
    monitored.reportOverrides.delete(3);
    assert.deepEqual(await monitored.finalizeUpgrade(), {
      ...{ before: 2, after: FEATURE_LEVEL_MAX, olderMasters: [] },
    });
    assert.deepEqual((await monitored.finalizeUpgrade()).before, FEATURE_LEVEL_MAX);
    await monitored.group.stopAll();
  });
});
