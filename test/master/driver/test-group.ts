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

/** What one member owns that outlives its process. */
export class TestMember {
  readonly id: MemberId;
  readonly host: string;
  readonly log = new MemoryLog();
  readonly faults: {
    disk: (operation: DiskOperation) => "EIO" | "ENOSPC" | null;
    delay: () => Promise<void>;
    commit: (name: string, changes: readonly StoreChange[]) => Promise<void>;
  } = { disk: () => null, delay: () => Promise.resolve(), commit: async () => {} };
  readonly stores: MemoryStores;
  disk: MemoryDisk;
  /** Null while it is down. */
  driver: Driver | null = null;
  server: RpcServer | null = null;
  fatal: AshlarError | null = null;
  stalls: number[] = [];
  /** A founder that comes back as a new member. */
  isRejoining = false;
  /** Counts lives: what an earlier one still does must reach nobody. */
  life = 0;

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

  /** The log and the identity are gone; what is left of the state belongs to nobody. */
  wipe(): void {
    this.disk = this.#makeDisk();
  }

  #makeDisk(): MemoryDisk {
    return new MemoryDisk({
      fault: (operation) => this.faults.disk(operation),
      delay: () => this.faults.delay(),
    });
  }
}

export interface TestGroupOptions {
  readonly size?: number;
  readonly seed?: number;
  readonly limits?: Partial<DriverLimits>;
  readonly timing?: Partial<DriverTiming>;
  /** Default: a `ToyMachine`, which `TestMember.machine` and `agree` want. */
  readonly openStateMachine?: (store: OrderedStore) => StateMachine;
}

/** A Raft group over simulated time, network and disks, with a toy for a state. */
export class TestGroup {
  readonly clock = new VirtualClock();
  /** How long bytes take from one member to another. */
  delayMs: () => number = () => 1;
  readonly network: MemoryNetwork;
  readonly random: SeededRandom;
  readonly members: TestMember[];
  /** How many of them founded the group: what their configs say. */
  readonly founderCount: number;
  readonly limits: Partial<DriverLimits>;
  readonly timing: Partial<DriverTiming>;
  readonly openStateMachine: (store: OrderedStore) => StateMachine;
  /** What was acknowledged: the text of a command, by its index. */
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
    assert.ok(member !== undefined, `there is a member ${id}`);
    return member;
  }

  /** Begins a life. Its opening may need time to pass, so the caller may wait for it or not. */
  async open(member: TestMember): Promise<void> {
    assert.ok(!member.isUp, "a member runs once");
    member.life += 1;
    const { life } = member;
    const { clock, random } = this;
    const network = this.network.host(member.host);
    const slabs = new SlabPool({ bytesMax: 256 * 1024 * 1024 });
    const world = { network, clock, log: member.log, slabs };
    const identity = { role: "master", clusterId: CLUSTER, name: member.host } as const;
    const driver = await openDriver({
      env: { clock, random, hasher, log: member.log, metrics: NO_METRICS },
      disk: member.disk.mount(),
      stores: member.stores,
      openStorage: openMemberStorage,
      openStateMachine: this.openStateMachine,
      connect: (address, options) => {
        if (member.life === life) return connect(world, address, { ...options, identity });
        return Promise.reject(new AshlarError("UNAVAILABLE", "A dead process connects to nobody"));
      },
      clusterId: CLUSTER,
      memberId: member.id,
      members: this.members
        .filter(({ id }) => id <= this.founderCount || id === member.id)
        .map(addressOf),
      join: member.id > this.founderCount || member.isRejoining,
      limits: this.limits,
      timing: this.timing,
      onFatal: (error) => {
        if (member.life === life) member.fatal = error;
      },
    });
    driver.onStall((stalledMs) => member.stalls.push(stalledMs));
    const server = new RpcServer(world, { identity: () => identity });
    registerRaftHandlers(server, driver);
    await server.listen(`${member.host}:7000`);
    member.driver = driver;
    member.server = server;
  }

  async startMember(member: TestMember): Promise<void> {
    await this.clock.advanceFor(this.open(member), `member ${member.id} opens`);
  }

  /** The power of a member goes. */
  kill(member: TestMember): void {
    const { driver, server } = member;
    member.life += 1;
    member.driver = null;
    member.server = null;
    this.network.crash(member.host);
    member.disk.crash(this.random);
    member.stores.crash();
    // What is left of the process is in our memory only: its timers end, its promises fail.
    driver?.close().catch(() => {});
    server?.close(0).catch(() => {});
  }

  async stop(member: TestMember): Promise<void> {
    const { driver, server } = member;
    member.driver = null;
    member.server = null;
    assert.ok(driver !== null && server !== null, "a member that runs is stopped");
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

  /** A process that waits to be added, with the next number. */
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

  /** Asks whoever leads, again and again, as a client does. */
  async change(change: Partial<MembershipChangeRequest>): Promise<void> {
    const whole = { add: [], promote: [], remove: [], ...change };
    const done = this.#asLeader((leader) => leader.running.changeMembers(whole));
    await this.clock.advanceFor(done, "the members are changed", 30_000);
  }

  async transfer(to: TestMember): Promise<void> {
    const done = this.#asLeader((leader) => leader.running.transferLeadership(to.id));
    await this.clock.advanceFor(done, "leadership is handed over", 30_000);
  }

  async #asLeader(ask: (leader: TestMember) => Promise<unknown>): Promise<void> {
    for (;;) {
      const [leader] = this.leaders();
      try {
        if (leader !== undefined) {
          await ask(leader);
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

  /** The member that leads and is ready, once there is one that a majority follows. */
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

  /** Proposes to `member`; what is acknowledged is remembered and checked in `agree`. */
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

  /** All members that run show the same, and everything that was acknowledged. */
  async agree(): Promise<string[]> {
    const leader = await this.leader();
    const read = leader.running.confirmRead(5_000);
    const index = await this.clock.advanceFor(read, "a read is confirmed");
    const ids = leader.running.membership().members.map((each) => each.id);
    const up = this.members.filter((member) => member.isUp && ids.includes(member.id));
    await this.clock.advanceUntil(
      () => up.every((member) => member.running.status().appliedIndex >= index),
      `everyone has applied ${index}`,
    );
    const history = leader.machine.history();
    for (const member of up) {
      const shared = Math.min(history.length, member.machine.appliedIndex);
      assert.deepEqual(member.machine.history().slice(0, shared), history.slice(0, shared));
    }
    for (const [at, text] of this.acknowledged) assert.equal(history[at - 1], text);
    return history;
  }
}

export function addressOf({ id, host }: TestMember): { id: MemberId; address: string } {
  return { id, address: `${host}:7000` };
}

/** "a1", "a2", … */
export function texts(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, position) => `${prefix}${position + 1}`);
}
