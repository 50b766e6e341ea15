import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { foundingRecord } from "../../../master/driver/open-driver.ts";
import { encodeCommand } from "../../../master/namespace/command-encoding.ts";
import { Namespace } from "../../../master/namespace/namespace.ts";
import { restoreBackup } from "../../../master/storage/restore-backup.ts";
import type { ClusterId, SessionId } from "../../../shared/base/ids.ts";
import { MemoryDisk } from "../../support/memory-disk.ts";
import { at, hasher, OWNER, START_MS, TestStateMachine } from "../namespace/harness.ts";
import {
  backupFile,
  backupOf,
  LATER_RESTORE_ID,
  RESTORE_ID,
} from "../namespace/restored-machine.ts";
import { TestGroup, type TestMember } from "./test-group.ts";

const CLUSTER = "d".repeat(32) as ClusterId;
const WAITS = "This master was restored from a backup and does not take part yet";
const REFUSED = "This master was restored from a backup and was in the cluster before";
const EMPTY_WAITS = "This master has an empty directory and does not take part yet";
const EMPTY_REFUSED = "This master has an empty directory and was in the cluster before";

/** Three masters whose state is a namespace, and a backup with the directory "/base". */
class RestoredGroup extends TestGroup {
  readonly #bytes: Uint8Array;

  constructor(seed: number, bytes: Uint8Array) {
    super({ seed, openStateMachine: (store) => Namespace.open({ store, hasher }) });
    this.#bytes = bytes;
  }

  static async make(seed: number): Promise<RestoredGroup> {
    const machine = await TestStateMachine.make({ bootstrap: { clusterId: CLUSTER } });
    machine.run({ kind: "make-directory", target: at("/base"), parents: false, ...OWNER });
    const { head, rows } = await backupOf(machine);
    const bytes = await backupFile({ head: { ...head, clusterId: CLUSTER }, rows });
    return new RestoredGroup(seed, bytes);
  }

  /** Replaces the data directory of a member by one that is restored from the backup. */
  async restore(member: TestMember, restoreId = RESTORE_ID): Promise<void> {
    await this.clear(member);
    const elsewhere = new MemoryDisk().mount();
    await elsewhere.writeFileDurably("backup", this.#bytes);
    const { stores, log, id: memberId } = member;
    await restoreBackup({
      ...{ disk: member.disk.mount(), stores, log, hasher, memberId, restoreId },
      ...{ random: this.random, clock: { wallMs: () => START_MS }, clusterId: CLUSTER },
      membership: foundingRecord(this.members.map(({ id }) => id)),
      file: await elsewhere.open("backup", "read"),
    });
  }

  /** Removes the data directory. */
  async clear(member: TestMember): Promise<void> {
    if (member.isUp) this.kill(member);
    await member.wipeAll();
  }

  /** Makes a directory, which the group acknowledges. */
  async makeDirectory(path: string): Promise<void> {
    const leader = await this.leader();
    const propose = async (command: Parameters<typeof encodeCommand>[0]) =>
      (await leader.running.propose(encodeCommand(command))).outcome as {
        readonly ok: boolean;
        readonly index: number;
      };
    const making = async (): Promise<void> => {
      const nowMs = START_MS;
      const { index } = await propose({ kind: "open-session", nowMs, clientName: "test" });
      const attempt = { sessionId: index as SessionId, sequence: 1, firstUnacknowledged: 1 };
      const operations = [
        { kind: "make-directory", target: at(path), parents: false, ...OWNER },
      ] as const;
      const made = await propose({
        kind: "transact",
        nowMs,
        attempt,
        preconditions: [],
        operations,
      });
      assert.ok(made.ok);
    };
    await this.clock.advanceFor(making(), `${path} is made`);
  }

  async assertNobodyLeads(): Promise<void> {
    await this.clock.advance(20_000);
    for (const { isUp, id, running } of this.members.filter((member) => member.isUp)) {
      assert.ok(isUp && running.status().role !== "leader", `member ${id} leads`);
    }
  }
}

function has(member: TestMember, path: string): boolean {
  try {
    (member.running.stateMachine as Namespace).stat(at(path));
    return true;
  } catch {
    return false;
  }
}

const hasLogged = (member: TestMember, message: string): boolean =>
  member.log.lines.some((line) => line.message === message);

function three(group: TestGroup): [TestMember, TestMember, TestMember] {
  return [group.member(1), group.member(2), group.member(3)];
}

describe("a group that is restored from a backup", () => {
  it("begins when all its members are there, before any election timeout", async () => {
    const group = await RestoredGroup.make(81);
    for (const member of group.members) await group.restore(member);
    const [first, second, third] = three(group);
    for (const member of [first, second]) await group.startMember(member);
    await group.assertNobodyLeads();
    assert.ok(hasLogged(first, WAITS) && hasLogged(second, WAITS));
    await group.startMember(third);
    await group.makeDirectory("/a");
    assert.ok(has(await group.leader(), "/base"));
    await group.stopAll();
  });

  it("has one history if a member loses its directory before another was started", async () => {
    const group = await RestoredGroup.make(82);
    for (const member of group.members) await group.restore(member);
    const [first, second, third] = three(group);
    for (const member of [first, second]) await group.startMember(member);
    await group.clock.advance(5_000);
    group.kill(first);
    await group.clear(second);
    for (const member of [second, third]) await group.startMember(member);
    await group.assertNobodyLeads();
    assert.ok(hasLogged(second, EMPTY_WAITS) && hasLogged(third, WAITS));
    await group.startMember(first);
    await group.assertNobodyLeads();
    const reason = second.running.status().waitingReason ?? "";
    assert.match(reason, new RegExp(`member 3: was restored from a backup.*${RESTORE_ID}`));
    await group.restore(second);
    await group.startMember(second);
    await group.makeDirectory("/a");
    await group.stopAll();
  });

  it("refuses a member that lost its directory afterwards, also one that is restored again", async () => {
    const group = await RestoredGroup.make(83);
    for (const member of group.members) await group.restore(member);
    const [first, second, third] = three(group);
    for (const member of group.members) await group.startMember(member);
    await group.makeDirectory("/acknowledged");
    await group.clock.advance(2_000); // The flush interval.
    group.kill(first);
    await group.clear(second);
    await group.startMember(second);
    await group.assertNobodyLeads();
    assert.ok(hasLogged(second, EMPTY_REFUSED));
    await group.restore(second);
    await group.startMember(second);
    await group.assertNobodyLeads();
    assert.ok(hasLogged(second, REFUSED));
    await group.startMember(first);
    await group.makeDirectory("/next");
    await group.clock.advance(2_000); // A follower applies it with the next heartbeat.
    for (const path of ["/acknowledged", "/next"]) assert.ok(has(third, path), path);
    assert.ok(!has(second, "/acknowledged"));
    await group.stopAll();
  });

  it("does not begin with a member of another restore, and names both ids", async () => {
    const group = await RestoredGroup.make(84);
    const [first, second, third] = three(group);
    for (const member of [first, second]) await group.restore(member);
    await group.restore(third, LATER_RESTORE_ID);
    for (const member of group.members) await group.startMember(member);
    await group.assertNobodyLeads();
    const reason = first.running.status().waitingReason ?? "";
    assert.match(reason, new RegExp(`member 3: .*${LATER_RESTORE_ID}.*${RESTORE_ID}`));
    await group.restore(third);
    await group.startMember(third);
    await group.makeDirectory("/a");
    await group.stopAll();
  });

  it("refuses a member of another restore after it has begun, although it has not met it", async () => {
    const group = await RestoredGroup.make(85);
    for (const member of group.members) await group.restore(member);
    const [first, second, third] = three(group);
    for (const member of group.members) await group.startMember(member);
    await group.makeDirectory("/a");
    for (const member of [first, second]) await group.stop(member);
    await group.restore(third, LATER_RESTORE_ID);
    // Without its record of the others, only the restore ids tell the histories apart.
    for (const member of [first, second]) {
      await member.disk.mount().remove("peers.json");
      await group.startMember(member);
    }
    await group.startMember(third);
    await group.makeDirectory("/b");
    assert.ok(!has(third, "/a") && !has(third, "/b"));
    const refusals = third.log.lines.filter((line) =>
      String(line.fields["error"]).includes("restore"),
    );
    assert.match(String(refusals[0]?.fields["error"]), new RegExp(RESTORE_ID));
    await group.stopAll();
  });

  it("begins at once with one member", async () => {
    const group = await RestoredGroup.make(86);
    const [first] = three(group);
    group.members.length = 1;
    await group.restore(first);
    await group.startMember(first);
    await group.makeDirectory("/a");
    await group.stopAll();
  });
});
