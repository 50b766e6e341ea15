import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PartsReceiver } from "../../../master/driver/snapshot-parts.ts";
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
import { proposeMuch, SMALL, warnings, withoutMember3 } from "./compacted-group.ts";
import { TestGroup, type TestMember, texts } from "./test-group.ts";
import { bytesOfText, DAMAGED_META } from "./toy-machine.ts";

describe("a member that was down while the log was compacted", () => {
  it("gets the state, and then the log behind it", async () => {
    const group = await withoutMember3();
    const member = group.member(3);
    await group.startMember(member);
    const history = await group.agree();
    assert.equal(history.filter((text) => text !== "").length, 205);
    assert.equal(warnings(member, "Installed a snapshot"), 1);
    assert.deepEqual(await member.stores.list(), ["state-2"]);
    await group.proposeAll(texts("b", 10));
    await group.agree();
    await group.stopAll();
    await group.startMember(member);
    await group.startMember(group.member(1));
    await group.agree();
    await group.stopAll();
  });

  it("does not keep the others from working while it does not answer", async () => {
    const group = await withoutMember3();
    const member = group.member(3);
    await group.startMember(member);
    await group.clock.advanceUntil(
      () => warnings(member, "Receiving a snapshot") > 0,
      "the snapshot begins",
    );
    for (const other of group.members)
      if (other !== member) group.network.cut(member.host, other.host);
    await group.proposeAll(texts("b", 50));
    await group.clock.advance(40_000);
    await group.proposeAll(texts("c", 50));
    group.network.heal();
    await group.clock.advance(5_000);
    await group.agree();
    assert.ok(member.machine.appliedIndex > 200);
    await group.stopAll();
  });

  it("may lose power at any moment of it", async () => {
    let halfWayCount = 0;
    for (let seed = 1; seed <= 24; seed += 1) {
      const group = await withoutMember3(seed);
      const member = group.member(3);
      await group.startMember(member);
      // From here on every call of disk and store takes a millisecond. Half of the power cuts come
      // while the parts are received, half while the state is being put in place.
      let isSwitching = false;
      member.faults.delay = () => group.clock.sleep(1);
      member.faults.commit = () => group.clock.sleep(1);
      member.faults.disk = ({ path }) => {
        isSwitching ||= path.startsWith("current.json");
        return null;
      };
      if (seed % 2 === 0) {
        await group.clock.advanceUntil(() => isSwitching, "the state is switched");
        await group.clock.advance(seed / 2 - 1);
      } else {
        const isReceiving = (): boolean => warnings(member, "Receiving a snapshot") > 0;
        await group.clock.advanceUntil(isReceiving, "the snapshot begins");
        await group.clock.advance(seed);
      }
      group.kill(member);
      member.faults.delay = () => Promise.resolve();
      member.faults.commit = async () => {};
      await group.startMember(member);
      halfWayCount += warnings(member, "Resetting the log to the state, which is ahead of it");
      await group.agree();
      await group.proposeAll(texts("b", 5));
      await group.agree();
      assert.equal((await member.stores.list()).length, 1, "leftovers are removed");
      await group.stopAll();
    }
    assert.ok(halfWayCount > 0, "some power cuts fell between the state and the log");
  });

  it("may lose the leader that sends it", async () => {
    const group = await withoutMember3();
    const member = group.member(3);
    await group.startMember(member);
    await group.clock.advanceUntil(
      () => warnings(member, "Receiving a snapshot") > 0,
      "the snapshot begins",
    );
    const leader = await group.leader();
    group.kill(leader);
    await group.clock.advance(2_000);
    await group.startMember(leader);
    await group.clock.advance(5_000);
    await group.agree();
    await group.stopAll();
  });
});

describe("a state that is lost", () => {
  it("is rebuilt from the log while that has everything", async () => {
    const group = await TestGroup.start();
    await group.proposeAll(texts("a", 30));
    await group.clock.advance(2_000);
    const member = group.member(2);
    await group.stop(member);
    const store = await member.stores.open("state-1");
    await store.commit([DAMAGED_META]);
    await store.close();
    await group.startMember(member);
    await group.agree();
    assert.equal(member.machine.history().filter((text) => text !== "").length, 30);
    await group.stopAll();
  });

  it("is fetched from a peer when the log begins later, before the member takes part", async () => {
    const group = await TestGroup.start(SMALL);
    await proposeMuch(group, "a");
    const member = group.member(2);
    await group.stop(member);
    const [name] = await member.stores.list();
    assert.ok(name !== undefined);
    const store = await member.stores.open(name);
    await store.commit([DAMAGED_META]);
    await store.close();
    await group.proposeAll(texts("b", 10));
    await group.startMember(member);
    assert.equal(warnings(member, "Fetched the state from a peer"), 1);
    await group.agree();
    assert.equal(member.machine.history().filter((text) => text !== "").length, 210);
    await group.stopAll();
  });

  it("keeps the member away until a peer has one", async () => {
    const group = await TestGroup.start(SMALL);
    await proposeMuch(group, "a");
    const member = group.member(2);
    await group.stop(member);
    for (const name of await member.stores.list()) await member.stores.remove(name);
    for (const other of [1, 3]) await group.stop(group.member(other));
    const opening = group.open(member);
    let isOpen = false;
    opening.then(
      () => {
        isOpen = true;
      },
      () => {},
    );
    await group.clock.advance(20_000);
    assert.equal(isOpen, false);
    await group.startMember(group.member(1));
    await group.clock.advanceFor(opening, "the state is fetched");
    await group.agree();
    await group.stopAll();
  });

  it("leaves no connection behind where there is no room for it", async () => {
    const group = await TestGroup.start(SMALL);
    await proposeMuch(group, "a");
    const member = group.member(2);
    await group.stop(member);
    for (const name of await member.stores.list()) await member.stores.remove(name);
    const { stores } = member;
    const open = stores.open.bind(stores);
    let openedCount = 0;
    stores.open = async (name) => {
      openedCount += 1;
      if (openedCount > 1) throw new AshlarError("NO_SPACE", "Cannot open a store: no room");
      return open(name);
    };
    const connections = (): number =>
      [1, 3].reduce((sum, id) => sum + (group.member(id).server?.connectionCount ?? 0), 0);
    await group.clock.advance(10_000);
    const before = connections();
    const opening = group.clock.advanceFor(group.open(member), "the member gives up");
    await assert.rejects(opening, hasCode("NO_SPACE"));
    await group.clock.advance(10_000);
    assert.equal(connections(), before);
    await group.stopAll();
  });
});

describe("a disk that fails under a member", () => {
  it("stops the member when a log write fails, and the others go on", async () => {
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
    // Others may answer: with the disk's own error its callers would not ask them.
    await assert.rejects(rejected, hasCode("UNAVAILABLE"));
    await assert.rejects(leader.running.confirmRead(1_000), hasCode("UNAVAILABLE"));
    const dead = leader;
    group.kill(dead);
    dead.faults.disk = () => null;
    const next = await group.leader();
    assert.notEqual(next, dead);
    await group.proposeAll(texts("b", 10));
    await group.startMember(dead);
    await group.agree();
    await group.stopAll();
  });

  it("makes a leader whose log is full step out, and keeps it readable", async () => {
    const group = await TestGroup.start();
    await group.proposeAll(texts("a", 10));
    const leader = await group.leader();
    leader.faults.disk = ({ kind, path }) =>
      kind === "write" && path.startsWith("log/") ? "ENOSPC" : null;
    // A disk that is full shows when the log grows.
    const lost = group.propose(leader, `lost ${"x".repeat(600_000)}`);
    await assert.rejects(group.clock.advanceFor(lost, "it fails"), hasCode("COMMIT_UNKNOWN"));
    assert.equal(leader.fatal, null);
    await assert.rejects(leader.running.propose(new Uint8Array(1)), hasCode("UNAVAILABLE"));
    await assert.rejects(leader.running.confirmRead(1_000), hasCode("UNAVAILABLE"));
    assert.equal(leader.machine.history().filter((text) => text !== "").length, 10);
    await group.clock.advanceUntil(
      () => group.leaders().some((each) => each !== leader),
      "another member leads",
    );
    leader.faults.disk = () => null;
    group.kill(leader);
    await group.startMember(leader);
    await group.proposeAll(texts("b", 10));
    await group.agree();
    await group.stopAll();
  });

  it("makes a leader whose state has no room hand over, and take part as before", async () => {
    const group = await TestGroup.start();
    await group.proposeAll(texts("a", 10));
    const leader = await group.leader();
    leader.faults.commit = () => Promise.reject(new AshlarError("NO_SPACE", "Full"));
    await group.clock.advanceUntil(
      () => group.leaders().some((each) => each !== leader),
      "another member leads",
    );
    await group.proposeAll(texts("b", 10));
    leader.faults.commit = async () => {};
    await group.clock.advance(2_500);
    await group.agree();
    assert.equal(leader.fatal, null);
    await group.stopAll();
  });

  it("makes a leader whose state has no room refuse commands until it has", async () => {
    const group = await TestGroup.start({ size: 1 });
    const member = group.member(1);
    await group.proposeAll(texts("a", 10));
    member.faults.commit = () => Promise.reject(new AshlarError("NO_SPACE", "Full"));
    await group.clock.advance(2_500);
    await assert.rejects(member.running.propose(new Uint8Array(1)), hasCode("NO_SPACE"));
    member.faults.commit = async () => {};
    await group.clock.advance(2_500);
    await group.proposeAll(texts("b", 10));
    await group.agree();
    await group.stopAll();
  });
});

describe("a member that comes back with an empty directory", () => {
  it("is refused by its peers, which still know it as it was", async () => {
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
    // One of the two others is down: with the vote of the empty member there would be a majority.
    await group.stop(group.member(1));
    await group.clock.advance(10_000);
    assert.equal(group.leaders().length, 0);
    await group.stopAll();
  });
});

/** Namespaces for states; member 3 is down and lacks what is compacted. */
class RottenGroup {
  /** The stores that were opened, those of members 1 to 3 first. */
  readonly stores: OrderedStore[] = [];
  readonly group = new TestGroup({
    ...SMALL,
    openStateMachine: (store) => {
      this.stores.push(store);
      return Namespace.open({ store, hasher });
    },
  });

  static async make(): Promise<RottenGroup> {
    const rotten = new RottenGroup();
    const { group } = rotten;
    for (const member of group.members) await group.startMember(member);
    await rotten.propose(BOOTSTRAP);
    group.kill(group.member(3));
    for (let count = 0; count < 8; count += 1) {
      for (let session = 0; session < 25; session += 1) await rotten.openSession();
      await group.clock.advance(110);
    }
    return rotten;
  }

  openSession(): Promise<void> {
    return this.propose({ kind: "open-session", nowMs: START_MS, clientName: "test" });
  }

  async propose(command: Command): Promise<void> {
    const leader = await this.group.leader();
    const proposed = leader.running.propose(encodeCommand(command));
    await this.group.clock.advanceFor(proposed, command.kind);
  }

  /** The name of a client's session, which nobody reads, has one bit that is another one. */
  async rot(member: TestMember): Promise<void> {
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
    return [...new Set(namespace.sessions().map(({ clientName }) => clientName))];
  }
}

describe("a state with a bit that has turned over", () => {
  it("is given to nobody by a leader, which stops", async () => {
    const rotten = await RottenGroup.make();
    const { group } = rotten;
    const member = group.member(3);
    const leader = await group.leader();
    await rotten.rot(leader);
    await group.startMember(member);
    await group.clock.advanceUntil(() => leader.fatal !== null, "the leader notices");
    assert.equal(leader.fatal?.code, "STATE_DIVERGED");
    // Another master may do better: callers are to go there, and not to give up.
    await assert.rejects(leader.running.propose(new Uint8Array(1)), hasCode("UNAVAILABLE"));
    assert.equal(warnings(member, "Installed a snapshot"), 0);
    group.kill(leader);
    // Nobody else has it whole: the leader's directory is needed, with a new state.
    for (const name of await leader.stores.list()) await leader.stores.remove(name);
    await group.startMember(leader);
    await rotten.openSession();
    await group.clock.advanceUntil(
      () => warnings(member, "Installed a snapshot") > 0,
      "the other one has sent it",
    );
    await group.clock.advance(2_000);
    for (const each of group.members) assert.deepEqual(rotten.sessionNames(each), ["test"]);
    await group.stopAll();
  });

  it("is not taken from a member that does not notice", async () => {
    const rotten = await RottenGroup.make();
    const { group, stores } = rotten;
    const leader = await group.leader();
    await rotten.rot(leader);
    const store = stores[leader.id - 1] as OrderedStore;
    const { durable } = leader.running.stateMachine;
    const receiver = new PartsReceiver(await new MemoryStores().open("copy"), hasher);
    for (const { key, value } of store.range({
      start: Uint8Array.of(0),
      end: Uint8Array.of(255),
    })) {
      const body = encodePairs([{ key, value }]);
      await receiver.receive({ kind: "part", entryCount: 1 }, { body, release: () => {} });
    }
    assert.notDeepEqual(receiver.stateHash, durable.stateHash);
    const openStateMachine = (opened: OrderedStore) => Namespace.open({ store: opened, hasher });
    const { log } = leader;
    const disk = leader.disk.mount();
    const states = await StateStores.open({ stores: new MemoryStores(), disk, hasher, log });
    const holder = await StateHolder.open({ states, openStateMachine, log });
    const named = { name: "copy", store };
    assert.throws(
      () => holder.prepare(named, durable, receiver.stateHash),
      hasCode("STATE_DIVERGED"),
    );
    await group.stopAll();
  });
});
