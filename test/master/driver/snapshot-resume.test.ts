import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { OrderedStore } from "../../../shared/ports/ordered-store.ts";
import { raftHello, raftSnapshot } from "../../../shared/protocol/raft-api.ts";
import { countLogLines, proposeMany, startWithoutMember3 } from "./compacted-group.ts";
import { type TestGroup, type TestMember, texts } from "./test-group.ts";
import { bytesOfText } from "./toy-machine.ts";

/** Commands whose state is larger than the window of a stream. */
const LARGE = texts("large", 45).map((text) => `${text} ${"x".repeat(200_000)}`);

/** A group with a member that has received rows of a snapshot, and not all of them. */
class InterruptedTransfer {
  readonly group: TestGroup;
  /** The receiver. */
  readonly member: TestMember;
  /** The stores that the receiver has opened, by name. */
  readonly stores = new Map<string, OrderedStore>();
  /** Number of rows that the receiver has written to new stores. */
  receivedCount = 0;
  /** Duration of a commit at the receiver. */
  commitMs = 5;

  private constructor(group: TestGroup) {
    this.group = group;
    this.member = group.member(3);
    this.member.faults.commit = async (name, changes) => {
      await group.clock.sleep(this.commitMs);
      if (name === "state-1") return;
      this.receivedCount += changes.filter(({ value }) => value !== null).length;
    };
    const { stores } = this.member;
    const open = stores.open.bind(stores);
    stores.open = async (name) => {
      const store = await open(name);
      this.stores.set(name, store);
      return store;
    };
  }

  /** Waits until member 3 has some rows. The transfer continues. */
  static async begin(size = 3): Promise<InterruptedTransfer> {
    const group = await startWithoutMember3(1, size);
    await group.proposeAll(LARGE);
    await group.clock.advance(110);
    const transfer = new InterruptedTransfer(group);
    await group.startMember(transfer.member);
    const hasRows = (): boolean => transfer.receivedCount > 130;
    await group.clock.advanceUntil(hasRows, "the receiver has some rows");
    return transfer;
  }

  /** Also cuts the network, and waits until both sides have abandoned the transfer. */
  static async cut(): Promise<InterruptedTransfer> {
    const transfer = await InterruptedTransfer.begin();
    const { group, member } = transfer;
    for (const other of [1, 2]) group.network.cut(member.host, group.member(other).host);
    // The receiver stores the bytes in flight, and both sides abandon the transfer.
    await group.clock.advance(20_000);
    return transfer;
  }

  /** Repairs the network and waits until the snapshot is installed. */
  async finish(): Promise<void> {
    const { group, member } = this;
    group.network.heal();
    const isInstalled = (): boolean => countLogLines(member, "Installed a snapshot") > 0;
    await group.clock.advanceUntil(isInstalled, "the snapshot is installed");
    await group.assertAgreement();
    await group.stopAll();
  }

  /** Number of rows that the last transfer has kept. */
  get keptCount(): unknown {
    const line = this.member.log.lines.find(({ message }) => message === "Installed a snapshot");
    return line?.fields["keptCount"];
  }

  /** Numbers of ranges with which the transfers have begun. */
  get rangeCounts(): unknown[] {
    const { lines } = this.member.log;
    const started = lines.filter(({ message }) => message === "Receiving a snapshot");
    return started.map(({ fields }) => fields["rangeCount"]);
  }
}

/** Returns the number of rows of the snapshot that the member has installed. */
function rowCount({ log }: TestMember): number {
  const installed = log.lines.find(({ message }) => message === "Installed a snapshot");
  return Number(installed?.fields["rowCount"]);
}

/** Returns the number of rows that the members have sent in the transfers that succeeded. */
function sentCount({ members }: TestGroup): number {
  const lines = members.flatMap(({ log }) => log.lines);
  const sent = lines.filter(({ message }) => message === "A peer installed a snapshot");
  return sent.reduce((sum, { fields }) => sum + Number(fields["sentCount"]), 0);
}

describe("an interrupted snapshot transfer", () => {
  it("is resumed even if the state of the leader has changed since the interruption", async () => {
    const transfer = await InterruptedTransfer.cut();
    const { group, member, receivedCount } = transfer;
    await proposeMany(group, "b");
    const { index } = (await group.leader()).machine.durable;
    await transfer.finish();
    assert.equal(transfer.keptCount, receivedCount);
    // One row for each entry, and the row with the position.
    assert.equal(sentCount(group), index + 1 - receivedCount);
    assert.deepEqual(await member.stores.list(), ["state-2"]);
  });

  it("continues at another leader under load, which sends the rest only", async () => {
    const transfer = await InterruptedTransfer.begin(5);
    const { group } = transfer;
    const leader = await group.leader();
    group.kill(leader);
    const isInterrupted = (): boolean => transfer.member.running.status().leaderId !== leader.id;
    await group.clock.advanceUntil(isInterrupted, "the receiver has lost the leader");
    const beforeCount = transfer.receivedCount;
    await group.proposeAll(texts("b", 100));
    const { index } = (await group.leader()).machine.durable;
    assert.ok(index > 350, "the state of the new leader has more entries");
    await transfer.finish();
    // No row is written twice: the first leader has sent one part of them, the second one the rest.
    // The last few rows are written after the snapshot, by the log.
    const rest = transfer.receivedCount - beforeCount;
    assert.ok(rest <= index + 20 - beforeCount, `${beforeCount} and ${rest} rows of ${index}`);
    assert.ok(Number(transfer.keptCount) >= 130, `${transfer.keptCount} rows are kept`);
    assert.equal(sentCount(group) + Number(transfer.keptCount), rowCount(transfer.member));
  });

  it("needs no further snapshot for the entries that are committed during the transfer", async () => {
    const transfer = await InterruptedTransfer.begin();
    const { group, member } = transfer;
    transfer.commitMs = 50;
    // The log is compacted meanwhile, but not after the index of the state that is sent.
    await proposeMany(group, "b");
    assert.equal(countLogLines(member, "Installed a snapshot"), 0);
    await transfer.finish();
    assert.equal(countLogLines(member, "Installed a snapshot"), 1);
  });

  it("ends when it holds too much of the log, and the next one keeps the rows", async () => {
    const transfer = await InterruptedTransfer.begin();
    const { group } = transfer;
    transfer.commitMs = 200;
    const leader = await group.leader();
    for (let round = 0; round < 4; round += 1) {
      await group.proposeAll(LARGE.slice(0, 5));
      await group.clock.advance(110); // One flush interval is 100 ms.
    }
    const ended = leader.log.lines.filter(
      ({ fields: { error } }) =>
        isAshlarError(error, "CANCELLED") && /takes too much space/.test(error.message),
    );
    assert.ok(ended.length > 0);
    transfer.commitMs = 5;
    await transfer.finish();
    assert.ok(Number(transfer.keptCount) >= 100, `${transfer.keptCount} rows are kept`);
  });

  it("ends when another leader begins one, also while its connection is silent", async () => {
    const transfer = await InterruptedTransfer.begin(5);
    const { group, member } = transfer;
    const leader = await group.leader();
    group.network.cut(member.host, leader.host);
    const others = group.members.filter((each) => each !== leader && each !== member);
    await group.transfer(others[0] as TestMember);
    await transfer.finish();
    assert.ok(Number(transfer.keptCount) >= 130);
    const failures = others.flatMap(({ log }) => log.lines);
    const refused = failures.filter(({ fields }) => isAshlarError(fields["error"], "OVERLOADED"));
    assert.deepEqual(refused, [], "no transfer waits for the silent one");
  });

  it("is repeated from the begin if a kept row has changed on the disk", async () => {
    const transfer = await InterruptedTransfer.cut();
    const { group } = transfer;
    const key = bytesOfText(`entry ${String(10).padStart(12, "0")}`);
    const store = transfer.stores.get("state-2");
    assert.ok(store?.get(key) !== undefined, "the receiver has the row");
    await group.clock.advanceFor(
      store.commit([{ key, value: bytesOfText("corrupt") }]),
      "the row is corrupt",
    );
    await transfer.finish();
    assert.equal(transfer.keptCount, 0);
    const failures = transfer.group.members.flatMap(({ log }) => log.lines);
    assert.ok(failures.some(({ fields }) => isAshlarError(fields["error"], "STORE_CORRUPT")));
    assert.deepEqual(await transfer.member.stores.list(), ["state-3"]);
  });

  it("starts again when the received rows have expired", async () => {
    const transfer = await InterruptedTransfer.cut();
    const { group, member } = transfer;
    for (const other of [1, 2]) await group.stop(group.member(other));
    assert.deepEqual(await member.stores.list(), ["state-1", "state-2"]);
    await group.clock.advance(10 * 60_000);
    assert.deepEqual(await member.stores.list(), ["state-1"]);
    for (const other of [1, 2]) await group.startMember(group.member(other));
    await transfer.finish();
    assert.equal(transfer.rangeCounts.at(-1), 0);
    assert.deepEqual(await member.stores.list(), ["state-3"]);
  });

  it("starts again when the receiver was restarted", async () => {
    const transfer = await InterruptedTransfer.cut();
    const { group, member } = transfer;
    await group.stop(member);
    await group.startMember(member);
    await transfer.finish();
    assert.equal(transfer.rangeCounts.at(-1), 0);
    assert.equal((await member.stores.list()).length, 1);
  });

  it("starts again if one of the two masters has version 0.1.0", async () => {
    const transfer = await InterruptedTransfer.cut();
    const { service } = transfer.member.running;
    const hello = service.hello.bind(service);
    // A sender of that version does not know the field, a receiver does not send it.
    service.hello = async (envelope) => {
      const { holdsSnapshotRows, ...reply } = await hello(envelope);
      assert.equal(holdsSnapshotRows, true);
      return raftHello.parseResponse(reply);
    };
    await transfer.finish();
    assert.equal(transfer.rangeCounts.at(-1), 0);
    assert.equal(transfer.keptCount, 0);
  });
});

describe("the messages of a snapshot transfer", () => {
  const envelope = { clusterId: "d".repeat(32), from: 1, to: 3, fromIncarnation: "i" };
  const opening = { ...envelope, index: 7, term: 1, leaderTerm: 2, membership: new Uint8Array(0) };

  it("of version 0.1.0 begin a transfer of all rows", () => {
    assert.equal(raftSnapshot.parseOpen({ ...opening, skippedCount: 0 }).resumes, false);
    const position = { index: 7, term: 1, entryCount: 100 };
    const reply = { memberId: 3, incarnation: "i", snapshotHeld: position };
    assert.equal(raftHello.parseResponse(reply).holdsSnapshotRows, false);
  });
});
