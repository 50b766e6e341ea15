import assert from "node:assert/strict";
import type { Applied, MembershipChangeRequest } from "../../../master/consensus.ts";
import type { Driver, DriverLimits, DriverTiming } from "../../../master/driver/driver.ts";
import { openDriver } from "../../../master/driver/open-driver.ts";
import { registerRaftHandlers } from "../../../master/driver/raft-handlers.ts";
import type { StateMachine } from "../../../master/state-machine.ts";
import { openMemberStorage } from "../../../master/storage/open-member-storage.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { ClusterId, MemberId } from "../../../shared/base/ids.ts";
import { SlabPool } from "../../../shared/flow/slabs.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import type { OrderedStore, StoreChange } from "../../../shared/ports/ordered-store.ts";
import { connect } from "../../../shared/wire/connect.ts";
import { RpcServer } from "../../../shared/wire/rpc-server.ts";
import { MemoryDisk } from "../../support/memory-disk.ts";
import { MemoryNetwork } from "../../support/memory-network.ts";
import type { DiskOperation } from "../../support/mounted-file.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";
import { bytesOfText, ToyMachine } from "./toy-machine.ts";

const CLUSTER = "d".repeat(32) as ClusterId;
const { hasher } = createHasher();

const NO_METRICS = {
  counter: () => ({ add: () => {} }),
  gauge: () => {},
  histogram: () => ({ observe: () => {} }),
};

/** One member: the disks and logs that outlive its process, and its running driver. */
export class TestMember {
  readonly id: MemberId;
  readonly host: string;
  readonly log = new MemoryLog();
  readonly faults: {
    disk: (operation: DiskOperation) => "EIO" | "ENOSPC" | null;
    delay: (operation: DiskOperation) => Promise<void>;
    commit: (name: string, changes: readonly StoreChange[]) => Promise<void>;
  } = { disk: () => null, delay: () => Promise.resolve(), commit: async () => {} };
  readonly stores: MemoryStores;
  disk: MemoryDisk;
  /** Null while the member is down. */
  driver: Driver | null = null;
  server: RpcServer | null = null;
  fatal: AshlarError | null = null;
  stalls: number[] = [];
  /** Whether this founder restarts with an empty directory and `join = true`. */
  isRejoining = false;
  /** The members that this founder founds a cluster without. */
  foundWithout: MemberId[] = [];
  /**
   * Increases at each start and crash. It identifies calls of an earlier process, to ignore them.
   */
  runNumber = 0;

  constructor(id: number) {
    this.id = id as MemberId;
    this.host = `m${id}`;
    this.disk = this.#makeDisk();
    this.stores = new MemoryStores({
      beforeCommit: (name, changes) => this.faults.commit(name, changes),
    });
  }

  get isUp(): boolean {
    return this.driver !== null;
  }

  get running(): Driver {
    assert.ok(this.driver !== null, `member ${this.id} runs`);
    return this.driver;
  }

  get machine(): ToyMachine {
    return this.running.stateMachine as ToyMachine;
  }

  /** Removes the data directory and the stores. */
  async wipeAll(): Promise<void> {
    this.wipe();
    for (const name of await this.stores.list()) await this.stores.remove(name);
  }

  /** Replaces the disk by an empty disk: the log and the identity are lost. The stores remain. */
  wipe(): void {
    this.disk = this.#makeDisk();
  }

  #makeDisk(): MemoryDisk {
    return new MemoryDisk({
      fault: (operation) => this.faults.disk(operation),
      delay: (operation) => this.faults.delay(operation),
    });
  }
}

export interface TestGroupOptions {
  readonly size?: number;
  readonly seed?: number;
  readonly limits?: Partial<DriverLimits>;
  readonly timing?: Partial<DriverTiming>;
  /**
   * Opens the state. Default: a `ToyMachine`, which `TestMember.machine` and `assertAgreement`
   * need.
   */
  readonly openStateMachine?: (store: OrderedStore) => StateMachine;
}

/** A Raft group over simulated time, network and disks. The default state is a ToyMachine. */
export class TestGroup {
  readonly clock = new VirtualClock();
  /** Returns the delay of bytes between two members. */
  delayMs: () => number = () => 1;
  readonly network: MemoryNetwork;
  readonly random: SeededRandom;
  readonly members: TestMember[];
  /** Number of founders. The configs of all members list them. */
  readonly founderCount: number;
  readonly limits: Partial<DriverLimits>;
  readonly timing: Partial<DriverTiming>;
  readonly openStateMachine: (store: OrderedStore) => StateMachine;
  /** The text of each acknowledged command, by its index. */
  readonly acknowledged = new Map<number, string>();

  constructor(options: TestGroupOptions = {}) {
    const { size = 3, seed = 1, limits = {}, timing = {} } = options;
    this.random = new SeededRandom(seed);
    this.limits = limits;
    this.timing = timing;
    this.openStateMachine = options.openStateMachine ?? ((store) => new ToyMachine(store));
    this.network = new MemoryNetwork({ clock: this.clock, delayMs: () => this.delayMs() });
    this.founderCount = size;
    this.members = Array.from({ length: size }, (_, position) => new TestMember(position + 1));
  }

  static async start(options: TestGroupOptions = {}): Promise<TestGroup> {
    const group = new TestGroup(options);
    for (const member of group.members) await group.startMember(member);
    return group;
  }

  member(id: number): TestMember {
    const member = this.members[id - 1];
    assert.ok(member !== undefined, `member ${id} exists`);
    return member;
  }

  /** Starts the process of a member. The promise may resolve only after virtual time has passed. */
  async open(member: TestMember): Promise<void> {
    assert.ok(!member.isUp, "a member has one process");
    member.runNumber += 1;
    const { runNumber } = member;
    const { clock, random } = this;
    const network = this.network.host(member.host);
    const slabs = new SlabPool({ bytesMax: 256 * 1024 * 1024 });
    const wireDeps = { network, clock, log: member.log, slabs };
    const identity = { role: "master", clusterId: CLUSTER, name: member.host } as const;
    const driver = await openDriver({
      env: { clock, random, hasher, log: member.log, metrics: NO_METRICS },
      disk: member.disk.mount(),
      stores: member.stores,
      openStorage: openMemberStorage,
      openStateMachine: this.openStateMachine,
      connect: (address, options) => {
        const isRunning = member.runNumber === runNumber;
        if (isRunning) return connect(wireDeps, address, { ...options, identity });
        return Promise.reject(new AshlarError("UNAVAILABLE", "A crashed process cannot connect"));
      },
      clusterId: CLUSTER,
      memberId: member.id,
      members: this.members
        .filter(({ id }) => id <= this.founderCount || id === member.id)
        .map(addressOf),
      join: member.id > this.founderCount || member.isRejoining,
      foundWithout: member.foundWithout,
      limits: this.limits,
      timing: this.timing,
      onFatal: (error) => {
        if (member.runNumber === runNumber) member.fatal = error;
      },
    });
    driver.onStall((stalledMs) => member.stalls.push(stalledMs));
    const server = new RpcServer(wireDeps, { identity: () => identity });
    registerRaftHandlers(server, driver);
    await server.listen(`${member.host}:7000`);
    member.driver = driver;
    member.server = server;
  }

  async startMember(member: TestMember): Promise<void> {
    await this.clock.advanceFor(this.open(member), `member ${member.id} opens`);
  }

  /** Simulates a power failure of a member. */
  kill(member: TestMember): void {
    const { driver, server } = member;
    member.runNumber += 1;
    member.driver = null;
    member.server = null;
    this.network.crash(member.host);
    member.disk.crash(this.random);
    member.stores.crash();
    // The objects of the crashed process still exist in this test: stop their timers and promises.
    driver?.close().catch(() => {});
    server?.close(0).catch(() => {});
  }

  async stop(member: TestMember): Promise<void> {
    const { driver, server } = member;
    member.driver = null;
    member.server = null;
    assert.ok(driver !== null && server !== null, "only a running member is stopped");
    const stopping = driver
      .prepareStop()
      .then(() => server.close(1_000))
      .then(() => driver.close());
    await this.clock.advanceFor(stopping, `member ${member.id} stops`);
  }

  async stopAll(): Promise<void> {
    for (const member of this.members) if (member.isUp) await this.stop(member);
  }

  leaders(): TestMember[] {
    return this.members.filter((member) => member.isUp && member.running.status().isReady);
  }

  /** Starts a new member with the next id. The member waits until it is added to the group. */
  async join(): Promise<TestMember> {
    const member = new TestMember(this.members.length + 1);
    this.members.push(member);
    await this.startMember(member);
    return member;
  }

  votersAt(member: TestMember): number[] {
    const { members } = member.running.membership();
    return members.filter((each) => each.vote === "voter").map((each) => each.id);
  }

  /** Changes the membership at the current leader, with retries, as a client does. */
  async change(change: Partial<MembershipChangeRequest>): Promise<void> {
    const request = { add: [], promote: [], remove: [], ...change };
    const done = this.#callLeader((leader) => leader.running.changeMembers(request));
    await this.clock.advanceFor(done, "the members are changed", 30_000);
  }

  async transfer(to: TestMember): Promise<void> {
    const done = this.#callLeader((leader) => leader.running.transferLeadership(to.id));
    await this.clock.advanceFor(done, "leadership is transferred", 30_000);
  }

  async #callLeader(call: (leader: TestMember) => Promise<unknown>): Promise<void> {
    for (;;) {
      const [leader] = this.leaders();
      try {
        if (leader !== undefined) {
          await call(leader);
          return;
        }
      } catch (error) {
        if (!(error instanceof AshlarError) || error.retry !== "safe") throw error;
      }
      await this.clock.sleep(50);
    }
  }

  /** Adds the member, waits until it has caught up, and gives it a vote. */
  async addVoter(member: TestMember): Promise<void> {
    await this.change({ add: [addressOf(member)] });
    await this.catchUp(member);
    await this.change({ promote: [member.id] });
  }

  async catchUp(member: TestMember): Promise<void> {
    await this.clock.advanceUntil(() => {
      const [leader] = this.leaders();
      const view = leader?.running.membership().members.find((each) => each.id === member.id);
      return view?.progress?.state === "replicate" && view.progress.isActive;
    }, `member ${member.id} catches up`);
  }

  /** Resolves with the ready leader once a majority of the voters follows it. */
  async leader(): Promise<TestMember> {
    let found: TestMember | undefined;
    await this.clock.advanceUntil(() => {
      found = this.leaders().find((leader) => {
        const { term } = leader.running.status();
        const voters = this.votersAt(leader);
        const followers = this.members.filter(
          (member) =>
            member.isUp &&
            voters.includes(member.id) &&
            member.running.status().term === term &&
            member.running.status().leaderId === leader.id,
        );
        return followers.length > voters.length / 2;
      });
      return found !== undefined;
    }, "a leader is elected");
    assert.ok(found !== undefined);
    return found;
  }

  /** Proposes to `member`. Records an acknowledged command for `assertAgreement`. */
  propose(member: TestMember, text: string): Promise<Applied> {
    const applied = member.running.propose(bytesOfText(text));
    applied.then(
      ({ index, outcome }) => {
        assert.equal(outcome, `did ${text}`);
        assert.ok(!this.acknowledged.has(index), "an index is acknowledged once");
        this.acknowledged.set(index, text);
      },
      () => {},
    );
    return applied;
  }

  async proposeAll(texts: readonly string[]): Promise<void> {
    const leader = await this.leader();
    const proposals = Promise.all(texts.map((text) => this.propose(leader, text)));
    await this.clock.advanceFor(proposals, "commands are committed");
  }

  /** Asserts that all running members have the same history with all acknowledged commands. */
  async assertAgreement(): Promise<string[]> {
    const leader = await this.leader();
    const read = leader.running.confirmRead(5_000);
    const index = await this.clock.advanceFor(read, "a read is confirmed");
    const ids = leader.running.membership().members.map((each) => each.id);
    const up = this.members.filter((member) => member.isUp && ids.includes(member.id));
    await this.clock.advanceUntil(
      () => up.every((member) => member.running.status().appliedIndex >= index),
      `all members have applied ${index}`,
    );
    const history = leader.machine.history();
    for (const member of up) {
      const shared = Math.min(history.length, member.machine.appliedIndex);
      assert.deepEqual(member.machine.history().slice(0, shared), history.slice(0, shared));
    }
    for (const [index, text] of this.acknowledged) assert.equal(history[index - 1], text);
    return history;
  }
}

/** Returns the id and the address of a member. */
export function addressOf({ id, host }: TestMember): { id: MemberId; address: string } {
  return { id, address: `${host}:7000` };
}

/** Returns "a1", "a2", … for the prefix "a". */
export function texts(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, position) => `${prefix}${position + 1}`);
}
