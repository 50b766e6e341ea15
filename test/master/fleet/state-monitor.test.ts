import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { propose } from "../../../master/api/leader-context.ts";
import type { StateReport } from "../../../master/fleet/state-monitor.ts";
import { StateMonitor } from "../../../master/fleet/state-monitor.ts";
import type { Command, Success } from "../../../master/namespace/command.ts";
import { FEATURE_LEVEL_MAX } from "../../../master/namespace/feature-levels.ts";
import { Namespace } from "../../../master/namespace/namespace.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { OrderedStore } from "../../../shared/ports/ordered-store.ts";
import { TestGroup, type TestMember } from "../driver/test-group.ts";
import { BOOTSTRAP, hasher, START_MS } from "../namespace/harness.ts";

/** Real namespaces on real drivers, watched over by whoever leads. */
class WatchedGroup {
  readonly group: TestGroup;
  /** The stores that were opened, the current one of each member last. */
  readonly stores: OrderedStore[] = [];
  /** What a member says of itself, where it is not the truth. */
  readonly claims = new Map<number, Partial<StateReport> | null>();
  readonly watches = new Map<TestMember, StateMonitor>();

  constructor() {
    this.group = new TestGroup({
      openStateMachine: (store) => {
        this.stores.push(store);
        return Namespace.open({ store, hasher });
      },
    });
  }

  static async start(): Promise<WatchedGroup> {
    const watched = new WatchedGroup();
    for (const member of watched.group.members) await watched.group.startMember(member);
    await watched.propose(BOOTSTRAP);
    return watched;
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
    return propose({ consensus: member.running, namespace }, command);
  }

  async openSession(): Promise<Success> {
    return this.propose({ kind: "open-session", nowMs: START_MS, clientName: "test" });
  }

  /** The leader looks at all members, and all have time to write what they have applied. */
  async step(): Promise<void> {
    const leader = await this.group.leader();
    const stepped = this.watchOf(leader).step();
    await this.group.clock.advanceFor(stepped, "the leader has looked at all members");
    const settled = this.group.clock.sleep(3_000);
    await this.group.clock.advanceFor(settled, "all have written what they have applied");
  }

  watchOf(leader: TestMember): StateMonitor {
    const known = this.watches.get(leader);
    if (known !== undefined) return known;
    const watch = new StateMonitor({
      env: { clock: this.group.clock, log: leader.log },
      consensus: leader.running,
      featureLevel: () => this.namespace(leader).featureLevel,
      fetchReport: async ({ id }) => this.#report(id),
      propose: (command) => this.proposeAt(leader, command),
      intervalMs: 30_000,
    });
    this.watches.set(leader, watch);
    return watch;
  }

  #report(id: number): StateReport {
    const member = this.group.member(id);
    const claim = this.claims.get(id);
    if (claim === null || !member.isUp || member.fatal !== null) {
      throw new AshlarError("UNAVAILABLE", "Cannot ask a member that is down");
    }
    const marks = this.namespace(member).checkpointMarks;
    return { featureLevelMax: FEATURE_LEVEL_MAX, marks, ...claim };
  }
}

/** A bit of a row that no entry writes again changes in the store of a member. */
async function damage(store: OrderedStore): Promise<void> {
  const key = new TextEncoder().encode("tstandard");
  const value = store.get(key)?.slice();
  assert.ok(value !== undefined, "the storage class is in the store");
  value[value.length - 1] = (value.at(-1) ?? 0) ^ 1;
  await store.commit([{ key, value }]);
}

const fatalCodeOf = (member: TestMember): string | undefined => member.fatal?.code;

describe("the watch over the states of the members", () => {
  it("stops the one member whose state has diverged, and nobody else", async () => {
    const watched = await WatchedGroup.start();
    const { group } = watched;
    await watched.step();
    const leader = await group.leader();
    const victim = group.members.find((member) => member !== leader) as TestMember;
    await damage(watched.stores[victim.id - 1] as OrderedStore);
    // The rotten row is hashed when it is written anew: what was added is not what is taken away.
    await watched.propose({
      kind: "define-storage-class",
      nowMs: START_MS,
      attempt: {
        sessionId: (await watched.openSession()).index as never,
        sequence: 1,
        firstUnacknowledged: 1,
      },
      storageClass: { ...BOOTSTRAP.defaultClass, racksMin: 1 },
    });
    await watched.step();
    assert.equal(fatalCodeOf(victim), undefined);
    await watched.step();
    assert.equal(fatalCodeOf(victim), "STATE_DIVERGED");
    for (const member of group.members) if (member !== victim) assert.equal(member.fatal, null);
    assert.ok(leader.log.lines.some((line) => JSON.stringify(line).includes("these members stop")));
    await watched.openSession();
    await group.stopAll();
  });

  it("stops the leader, if it is the leader that differs", async () => {
    const watched = await WatchedGroup.start();
    const { group } = watched;
    await watched.step();
    const leader = await group.leader();
    const { index: sessionId } = await watched.openSession();
    await damage(watched.stores[leader.id - 1] as OrderedStore);
    await watched.propose({
      kind: "define-storage-class",
      nowMs: START_MS,
      attempt: { sessionId: sessionId as never, sequence: 1, firstUnacknowledged: 1 },
      storageClass: { ...BOOTSTRAP.defaultClass, racksMin: 1 },
    });
    await watched.step();
    await group.clock.advanceFor(
      watched
        .watchOf(leader)
        .step()
        .catch(() => {}),
      "the leader has judged itself",
    );
    assert.equal(fatalCodeOf(leader), "STATE_DIVERGED");
    group.kill(leader);
    await watched.openSession();
    await group.stopAll();
  });

  it("stops nobody where no majority agrees", async () => {
    const watched = await WatchedGroup.start();
    await watched.step();
    await watched.openSession();
    await watched.step();
    const leader = await watched.group.leader();
    const [other, away] = watched.group.members.filter((member) => member !== leader);
    const marks = watched.namespace(leader).checkpointMarks.map((mark) => ({
      ...mark,
      stateHash: new Uint8Array(16).fill(9),
    }));
    watched.claims.set(other?.id ?? 0, { marks });
    watched.claims.set(away?.id ?? 0, null);
    await watched.openSession();
    await watched.step();
    assert.ok(leader.log.lines.some((line) => JSON.stringify(line).includes("no majority")));
    for (const member of watched.group.members) assert.equal(member.fatal, null);
    await watched.group.stopAll();
  });

  it("writes nothing while nothing happens", async () => {
    const watched = await WatchedGroup.start();
    for (let step = 0; step < 3; step += 1) await watched.step();
    const leader = await watched.group.leader();
    const { appliedIndex } = leader.running.status();
    for (let step = 0; step < 5; step += 1) await watched.step();
    assert.equal(leader.running.status().appliedIndex, appliedIndex);
    await watched.group.stopAll();
  });
});

describe("the feature level of a cluster", () => {
  it("rises only when every member, none excepted, says that it supports it", async () => {
    const watched = await WatchedGroup.start();
    const leader = await watched.group.leader();
    watched.claims.set(3, { featureLevelMax: 1 });
    await watched.step();
    assert.equal(watched.namespace(leader).featureLevel, 1);
    watched.claims.set(3, null);
    await watched.step();
    assert.equal(watched.namespace(leader).featureLevel, 1);
    watched.claims.delete(3);
    await watched.step();
    for (const member of watched.group.members) {
      assert.equal(watched.namespace(member).featureLevel, FEATURE_LEVEL_MAX);
    }
    await watched.group.stopAll();
  });

  it("keeps out of the log what an old member would not understand", async () => {
    const watched = await WatchedGroup.start();
    const leader = await watched.group.leader();
    const checkpoint: Command = { kind: "checkpoint", verdict: null };
    const { lastIndex } = leader.running.status();
    await assert.rejects(watched.proposeAt(leader, checkpoint), { code: "VERSION_MISMATCH" });
    assert.equal(leader.running.status().lastIndex, lastIndex);
    await watched.step();
    await watched.propose(checkpoint);
    await watched.group.stopAll();
  });
});
