import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PartsReceiver } from "../../../master/driver/parts-receiver.ts";
import { StateHolder } from "../../../master/driver/state-holder.ts";
import type { Command } from "../../../master/namespace/command.ts";
import { encodeCommand } from "../../../master/namespace/command-encoding.ts";
import { Namespace } from "../../../master/namespace/namespace.ts";
import { StateStores } from "../../../master/storage/state-stores.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import type { OrderedStore } from "../../../shared/ports/ordered-store.ts";
import { encodePairs } from "../../../shared/protocol/pairs.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import { BOOTSTRAP, hasher, START_MS } from "../namespace/harness.ts";
import {
  countLogLines,
  proposeMany,
  SMALL_LIMITS,
  startWithoutMember3,
} from "./compacted-group.ts";
import { TestGroup, type TestMember, texts } from "./test-group.ts";
import { bytesOfText, DAMAGED_META } from "./toy-machine.ts";

describe("a member that was down while the log was compacted", () => {
  it("receives the state, and then the log after it", async () => {
    const group = await startWithoutMember3();
    const member = group.member(3);
    await group.startMember(member);
    const history = await group.assertAgreement();
    assert.equal(history.filter((text) => text !== "").length, 205);
    assert.equal(countLogLines(member, "Installed a snapshot"), 1);
    assert.deepEqual(await member.stores.list(), ["state-2"]);
    await group.proposeAll(texts("b", 10));
    await group.assertAgreement();
    await group.stopAll();
    await group.startMember(member);
    await group.startMember(group.member(1));
    await group.assertAgreement();
    await group.stopAll();
  });

  it("does not block the others while it does not answer", async () => {
    const group = await startWithoutMember3();
    const member = group.member(3);
    await group.startMember(member);
    await group.clock.advanceUntil(
      () => countLogLines(member, "Receiving a snapshot") > 0,
      "the snapshot begins",
    );
    for (const other of group.members)
      if (other !== member) group.network.cut(member.host, other.host);
    await group.proposeAll(texts("b", 50));
    await group.clock.advance(40_000);
    await group.proposeAll(texts("c", 50));
    group.network.heal();
    await group.clock.advance(5_000);
    await group.assertAgreement();
    assert.ok(member.machine.appliedIndex > 200);
    await group.stopAll();
  });

  it("survives a power failure at any time during the snapshot", async () => {
    let resetCount = 0;
    for (let seed = 1; seed <= 24; seed += 1) {
      const group = await startWithoutMember3(seed);
      const member = group.member(3);
      await group.startMember(member);
      // From here on, each call of the disk and of the store takes a millisecond. Half of the power
      // failures happen while the parts are received, half during the installation.
      let isSwitching = false;
      member.faults.delay = () => group.clock.sleep(1);
      member.faults.commit = () => group.clock.sleep(1);
      member.faults.disk = ({ path }) => {
        isSwitching ||= path.startsWith("current.json");
        return null;
      };
      if (seed % 2 === 0) {
        await group.clock.advanceUntil(() => isSwitching, "the switch of the state begins");
        await group.clock.advance(seed / 2 - 1);
      } else {
        const isReceiving = (): boolean => countLogLines(member, "Receiving a snapshot") > 0;
        await group.clock.advanceUntil(isReceiving, "the snapshot begins");
        await group.clock.advance(seed);
      }
      group.kill(member);
      member.faults.delay = () => Promise.resolve();
      member.faults.commit = async () => {};
      await group.startMember(member);
      resetCount += countLogLines(member, "Resetting the log to the state, which is ahead of it");
      await group.assertAgreement();
      await group.proposeAll(texts("b", 5));
      await group.assertAgreement();
      assert.equal((await member.stores.list()).length, 1, "unused stores are removed");
      await group.stopAll();
    }
    assert.ok(resetCount > 0, "some power failures happened between the state and the log");
  });

  it("receives the snapshot although the sending leader crashes", async () => {
    const group = await startWithoutMember3();
    const member = group.member(3);
    await group.startMember(member);
    await group.clock.advanceUntil(
      () => countLogLines(member, "Receiving a snapshot") > 0,
      "the snapshot begins",
    );
    const leader = await group.leader();
    group.kill(leader);
    await group.clock.advance(2_000);
    await group.startMember(leader);
    await group.clock.advance(5_000);
    await group.assertAgreement();
    await group.stopAll();
  });
});

describe("a lost state", () => {
  it("is rebuilt from a log that has all entries", async () => {
    const group = await TestGroup.start();
    await group.proposeAll(texts("a", 30));
    await group.clock.advance(2_000);
    const member = group.member(2);
    await group.stop(member);
    const store = await member.stores.open("state-1");
    await store.commit([DAMAGED_META]);
    await store.close();
    await group.startMember(member);
    await group.assertAgreement();
    assert.equal(member.machine.history().filter((text) => text !== "").length, 30);
    await group.stopAll();
  });

  it("is fetched from a peer if the log was compacted, before the member opens", async () => {
    const group = await TestGroup.start(SMALL_LIMITS);
    await proposeMany(group, "a");
    const member = group.member(2);
    await group.stop(member);
    const [name] = await member.stores.list();
    assert.ok(name !== undefined);
    const store = await member.stores.open(name);
    await store.commit([DAMAGED_META]);
    await store.close();
    await group.proposeAll(texts("b", 10));
    await group.startMember(member);
    assert.equal(countLogLines(member, "Fetched the state from a peer"), 1);
    await group.assertAgreement();
    assert.equal(member.machine.history().filter((text) => text !== "").length, 210);
    await group.stopAll();
  });

  it("closes the connection to the peer if the local disk is full", async () => {
    const group = await TestGroup.start(SMALL_LIMITS);
    await proposeMany(group, "a");
    const member = group.member(2);
    await group.stop(member);
    for (const name of await member.stores.list()) await member.stores.remove(name);
    const { stores } = member;
    const open = stores.open.bind(stores);
    let openedCount = 0;
    stores.open = async (name) => {
      openedCount += 1;
      if (openedCount > 1)
        throw new AshlarError("NO_SPACE", "Cannot open a store: the disk is full");
      return open(name);
    };
    const connections = (): number =>
      [1, 3].reduce((sum, id) => sum + (group.member(id).server?.connectionCount ?? 0), 0);
    await group.clock.advance(10_000);
    const before = connections();
    const opening = group.clock.advanceFor(group.open(member), "the start fails");
    await assert.rejects(opening, hasCode("NO_SPACE"));
    await group.clock.advance(10_000);
    assert.equal(connections(), before);
    await group.stopAll();
  });
});

describe("a failing disk of a member", () => {
  it("halts the member when a log write fails, and the others continue", async () => {
    const group = await TestGroup.start();
    await group.proposeAll(texts("a", 10));
    const leader = await group.leader();
    leader.faults.disk = ({ kind, path }) =>
      kind === "sync" && path.startsWith("log/") ? "EIO" : null;
    const lost = group.propose(leader, "lost");
    await assert.rejects(group.clock.advanceFor(lost, "it fails"), hasCode("COMMIT_UNKNOWN"));
    assert.equal(leader.fatal?.code, "DISK_FAILED");
    assert.equal(leader.running.status().role, "follower");
    const rejected = leader.running.propose(new Uint8Array(1));
    // UNAVAILABLE makes the caller retry at another member. DISK_FAILED would not.
    await assert.rejects(rejected, hasCode("UNAVAILABLE"));
    await assert.rejects(leader.running.confirmRead(1_000), hasCode("UNAVAILABLE"));
    const dead = leader;
    group.kill(dead);
    dead.faults.disk = () => null;
    const next = await group.leader();
    assert.notEqual(next, dead);
    await group.proposeAll(texts("b", 10));
    await group.startMember(dead);
    await group.assertAgreement();
    await group.stopAll();
  });

  it("halts a leader whose log is full, which still serves stale reads", async () => {
    const group = await TestGroup.start();
    await group.proposeAll(texts("a", 10));
    const leader = await group.leader();
    leader.faults.disk = ({ kind, path }) =>
      kind === "write" && path.startsWith("log/") ? "ENOSPC" : null;
    // Only growth of the log notices the full disk.
    const lost = group.propose(leader, `lost ${"x".repeat(600_000)}`);
    await assert.rejects(group.clock.advanceFor(lost, "it fails"), hasCode("COMMIT_UNKNOWN"));
    assert.equal(leader.fatal, null);
    await assert.rejects(leader.running.propose(new Uint8Array(1)), hasCode("UNAVAILABLE"));
    await assert.rejects(leader.running.confirmRead(1_000), hasCode("UNAVAILABLE"));
    assert.equal(leader.machine.history().filter((text) => text !== "").length, 10);
    const { diskFull } = leader.running.status();
    assert.equal(diskFull?.kind, "log");
    assert.match(diskFull.reason, /^Cannot append to the log: .*ENOSPC/);
    await group.clock.advanceUntil(
      () => group.leaders().some((each) => each !== leader),
      "another member leads",
    );
    leader.faults.disk = () => null;
    group.kill(leader);
    await group.startMember(leader);
    await group.proposeAll(texts("b", 10));
    await group.assertAgreement();
    await group.stopAll();
  });

  it("makes a leader whose state disk is full transfer leadership and stay a member", async () => {
    const group = await TestGroup.start();
    await group.proposeAll(texts("a", 10));
    const leader = await group.leader();
    const { faults, running } = leader;
    faults.commit = () => Promise.reject(new AshlarError("NO_SPACE", "The disk is full"));
    await group.clock.advanceUntil(() => running.status().diskFull !== null, "its disk is full");
    assert.equal(running.status().role, "leader");
    // The caller repeats the command, and reaches the successor.
    await assert.rejects(running.propose(new Uint8Array(1)), hasCode("NO_LEADER"));
    await group.clock.advanceUntil(
      () => group.leaders().some((each) => each !== leader),
      "another member leads",
    );
    assert.equal(running.status().diskFull?.kind, "state");
    await group.proposeAll(texts("b", 10));
    faults.commit = async () => {};
    await group.clock.advance(2_500);
    assert.equal(running.status().diskFull, null);
    await group.assertAgreement();
    assert.equal(leader.fatal, null);
    await group.stopAll();
  });

  it("makes a single leader whose state disk is full refuse commands until it has space", async () => {
    const group = await TestGroup.start({ size: 1 });
    const member = group.member(1);
    await group.proposeAll(texts("a", 10));
    member.faults.commit = () => Promise.reject(new AshlarError("NO_SPACE", "The disk is full"));
    await group.clock.advance(2_500);
    await assert.rejects(member.running.propose(new Uint8Array(1)), hasCode("NO_SPACE"));
    member.faults.commit = async () => {};
    await group.clock.advance(2_500);
    await group.proposeAll(texts("b", 10));
    await group.assertAgreement();
    await group.stopAll();
  });
});

describe("a member that restarts with an empty data directory", () => {
  it("is refused by its peers, which have recorded its earlier incarnation", async () => {
    const group = await TestGroup.start();
    await group.proposeAll(texts("a", 10));
    const member = group.member(2);
    await group.stop(member);
    member.wipe();
    for (const name of await member.stores.list()) await member.stores.remove(name);
    await group.startMember(member);
    await group.clock.advance(5_000);
    assert.equal(member.running.status().leaderId, null);
    assert.equal(member.running.status().lastIndex, 0);
    const refusals = member.log.lines.filter(
      (line) => line.message === "A peer was refused, or refused this member",
    );
    assert.ok(refusals.length >= 2);
    assert.ok(hasCode("WRONG_IDENTITY")(refusals[0]?.fields["error"]));
    // Member 1 is down. A vote of the empty member would make a majority with member 3.
    await group.stop(group.member(1));
    await group.clock.advance(10_000);
    assert.equal(group.leaders().length, 0);
    await group.stopAll();
  });
});

/** A group with namespaces as states. Member 3 is down and needs a snapshot. */
class CorruptGroup {
  /** The opened stores. The first three belong to members 1 to 3. */
  readonly stores: OrderedStore[] = [];
  readonly group = new TestGroup({
    ...SMALL_LIMITS,
    openStateMachine: (store) => {
      this.stores.push(store);
      return Namespace.open({ store, hasher });
    },
  });

  static async make(): Promise<CorruptGroup> {
    const corrupt = new CorruptGroup();
    const { group } = corrupt;
    for (const member of group.members) await group.startMember(member);
    await corrupt.propose(BOOTSTRAP);
    group.kill(group.member(3));
    for (let count = 0; count < 8; count += 1) {
      for (let session = 0; session < 25; session += 1) await corrupt.openSession();
      await group.clock.advance(110);
    }
    return corrupt;
  }

  openSession(): Promise<void> {
    return this.propose({ kind: "open-session", nowMs: START_MS, clientName: "test" });
  }

  async propose(command: Command): Promise<void> {
    const leader = await this.group.leader();
    const proposed = leader.running.propose(encodeCommand(command));
    await this.group.clock.advanceFor(proposed, command.kind);
  }

  /** Flips one bit in the name of a session in the store. No other code reads that row. */
  async corruptRow(member: TestMember): Promise<void> {
    const store = this.stores[member.id - 1];
    const prefix = bytesOfText("s");
    const rows = [...(store?.range({ start: prefix, end: bytesOfText("t") }) ?? [])];
    const row = rows[100];
    assert.ok(store !== undefined && row !== undefined);
    const text = Buffer.from(row.value).toString("latin1").replace("test", "tesu");
    await store.commit([{ key: row.key, value: Buffer.from(text, "latin1") }]);
  }

  sessionNames(member: TestMember): string[] {
    const namespace = member.running.stateMachine as Namespace;
    return [
      ...new Set(
        namespace.sessions({ after: null, limit: 1_000 }).map(({ clientName }) => clientName),
      ),
    ];
  }
}

describe("a state with a flipped bit", () => {
  it("is not sent by a leader, which stops instead", async () => {
    const corrupt = await CorruptGroup.make();
    const { group } = corrupt;
    const member = group.member(3);
    const leader = await group.leader();
    await corrupt.corruptRow(leader);
    await group.startMember(member);
    await group.clock.advanceUntil(() => leader.fatal !== null, "the leader detects the damage");
    assert.equal(leader.fatal?.code, "STATE_DIVERGED");
    // UNAVAILABLE makes the caller retry at another master.
    await assert.rejects(leader.running.propose(new Uint8Array(1)), hasCode("UNAVAILABLE"));
    assert.equal(countLogLines(member, "Installed a snapshot"), 0);
    group.kill(leader);
    // Only the log of this member is complete, so it must restart, with a new state.
    for (const name of await leader.stores.list()) await leader.stores.remove(name);
    await group.startMember(leader);
    await corrupt.openSession();
    await group.clock.advanceUntil(
      () => countLogLines(member, "Installed a snapshot") > 0,
      "the other member has sent the snapshot",
    );
    await group.clock.advance(2_000);
    for (const each of group.members) assert.deepEqual(corrupt.sessionNames(each), ["test"]);
    await group.stopAll();
  });

  it("is not accepted from a sender that does not detect the flipped bit", async () => {
    const corrupt = await CorruptGroup.make();
    const { group, stores } = corrupt;
    const leader = await group.leader();
    await corrupt.corruptRow(leader);
    const store = stores[leader.id - 1] as OrderedStore;
    const { durable } = leader.running.stateMachine;
    const copy = await new MemoryStores().open("copy");
    const receiver = new PartsReceiver(copy, { clock: group.clock, hasher, ranges: null });
    const rows = store.range({ start: Uint8Array.of(0), end: Uint8Array.of(255) });
    for (const { key, value } of rows) {
      const body = encodePairs([{ key, value }]);
      await receiver.receive({ kind: "part", entryCount: 1 }, { body, release: () => {} });
    }
    assert.notDeepEqual(receiver.stateHash, durable.stateHash);
    const openStateMachine = (opened: OrderedStore) => Namespace.open({ store: opened, hasher });
    const { log } = leader;
    const disk = leader.disk.mount();
    const where = { stores: new MemoryStores(), disk };
    const states = await StateStores.open({ ...where, hasher, log, wasLogBegun: false });
    const holder = await StateHolder.open({ states, openStateMachine, log });
    const named = { name: "copy", store };
    assert.throws(
      () => holder.prepare(named, durable, receiver.stateHash),
      hasCode("STATE_DIVERGED"),
    );
    await group.stopAll();
  });
});
