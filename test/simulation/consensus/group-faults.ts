import assert from "node:assert/strict";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { TestGroup, TestMember } from "../../master/driver/test-group.ts";

/** The number of faults of each kind. A test asserts that every kind happened. */
export interface FaultCounts {
  kills: number;
  cuts: number;
  stalls: number;
  diskFaults: number;
  slowDisks: number;
  leadershipTransfers: number;
  outages: number;
  interruptions: number;
  snapshots: number;
  /** Snapshots of which a part was kept from an interrupted transfer. */
  resumedSnapshots: number;
}

/** Returns counts of 0. */
export const noFaults = (): FaultCounts => {
  return {
    kills: 0,
    cuts: 0,
    stalls: 0,
    diskFaults: 0,
    slowDisks: 0,
    leadershipTransfers: 0,
    outages: 0,
    interruptions: 0,
    snapshots: 0,
    resumedSnapshots: 0,
  };
};

/** Options with bounds so small that every run compacts logs and sends snapshots. */
export const SMALL = {
  limits: {
    logCacheBytes: 1_500,
    logReadBytes: 8_000,
    logKeptBytes: 3_000,
    logSegmentBytes: 3_000,
    flushBytes: 400,
    snapshotPartBytes: 300,
  },
  timing: { flushIntervalMs: 100, snapshotStallMs: 2_000 },
};

/** Number of entries that a member misses in a long outage. More than a log keeps for it. */
const MISSED_ENTRIES = 60;
const OUTAGE_STEPS_MAX = 40;

/**
 * Injects faults into the members of a group: power, network, disks, and a stall of all members.
 */
export class GroupFaults {
  readonly #group: TestGroup;
  readonly #counts: FaultCounts;
  readonly #propose: () => void;
  /** The member that stays down, so that it misses entries. */
  #missing: TestMember | null = null;

  /** @param propose starts some requests, as a simulation does between two faults */
  constructor(group: TestGroup, counts: FaultCounts, propose: () => void = () => {}) {
    this.#group = group;
    this.#counts = counts;
    this.#propose = propose;
    const { random } = group;
    const spreadMs = [1, 10, 40][random.integer(3)] as number;
    group.delayMs = () => 1 + random.integer(spreadMs);
  }

  /** Injects or repairs one random fault, or does nothing. */
  async injectFault(): Promise<void> {
    const { random } = this.#group;
    const member = this.#group.member(1 + random.integer(3));
    const other = this.#group.member(1 + (member.id % 3));
    const dice = random.integer(19);
    if (dice < 3) this.kill(member);
    else if (dice < 7) await this.#startOne();
    else if (dice === 7) this.#cut(member, other);
    else if (dice < 10) this.#group.network.heal();
    else if (dice === 10) this.#stall();
    else if (dice === 11) this.#breakDisk(member);
    else if (dice === 12) this.#group.network.reset(member.host, other.host);
    else if (dice < 15) await this.#transferLeadership();
    else if (dice === 15) this.#slowDisk(member);
    else if (dice === 16) await this.#failPowerOfAll();
    else if (dice === 17) await this.#missManyEntries(member);
  }

  /** Kills the members that stopped because of a fatal error. */
  killFailedMembers(): void {
    for (const member of this.#group.members) if (member.fatal !== null) this.kill(member);
  }

  /** Simulates a power failure of a member. Its disk works again after the restart. */
  kill(member: TestMember): void {
    if (!member.isUp) return;
    this.#counts.kills += 1;
    this.#group.kill(member);
    member.fatal = null;
    repair(member);
  }

  /** Repairs the network, and restarts every member with a working disk of the same content. */
  async repairAll(): Promise<void> {
    this.#group.network.heal();
    for (const member of this.#group.members) {
      this.kill(member);
      repair(member);
      await this.#group.startMember(member);
    }
  }

  /** Adds the numbers of installed snapshots to the counts. */
  countSnapshots(): void {
    for (const member of this.#group.members) {
      const installed = installedSnapshots(member);
      const resumed = installed.filter(({ fields }) => Number(fields["keptCount"]) > 0);
      this.#counts.snapshots += installed.length;
      this.#counts.resumedSnapshots += resumed.length;
    }
  }

  #cut(member: TestMember, other: TestMember): void {
    const { network, random } = this.#group;
    this.#counts.cuts += 1;
    if (random.fraction() < 0.5) network.cut(member.host, other.host);
    else network.cutOneWay(member.host, other.host);
  }

  #stall(): void {
    this.#counts.stalls += 1;
    this.#group.clock.stall(this.#group.random.integer(1_500));
  }

  /** Simulates a power failure of all members: everything that is not on a disk is lost. */
  async #failPowerOfAll(): Promise<void> {
    await this.#group.clock.advance(this.#group.random.integer(60));
    for (const member of this.#group.members) this.kill(member);
    for (const member of this.#group.members) {
      repair(member);
      await this.#group.startMember(member);
    }
  }

  /** Stops the leader gracefully, so that another member takes over under load. */
  async #transferLeadership(): Promise<void> {
    const [leader] = this.#group.leaders();
    if (leader === undefined) return;
    this.#counts.leadershipTransfers += 1;
    await this.#group.stop(leader);
  }

  async #startOne(): Promise<void> {
    const member = this.#group.members.find((each) => !each.isUp && each !== this.#missing);
    if (member !== undefined) await this.#start(member);
  }

  async #start(member: TestMember): Promise<void> {
    try {
      await this.#group.startMember(member);
    } catch (error) {
      // The disk fails already. The next start has a working disk with the same content.
      assert.ok(isAshlarError(error), String(error));
      assert.ok(["DISK_FAILED", "NO_SPACE"].includes(error.code), error.message);
      this.#group.kill(member);
      repair(member);
    }
  }

  /** Slows the disk of a member until its next power failure, so that the member lags behind. */
  #slowDisk(member: TestMember): void {
    const { clock, random } = this.#group;
    this.#counts.slowDisks += 1;
    member.faults.delay = () => clock.sleep(random.integer(60));
  }

  /**
   * Kills a member, and restarts it when the others have dropped the entries that it needs. The
   * transfer of the snapshot is slow, and is interrupted.
   */
  async #missManyEntries(member: TestMember): Promise<void> {
    const { network, members } = this.#group;
    this.#counts.outages += 1;
    this.kill(member);
    network.heal();
    for (const other of members) if (other !== member && !other.isUp) await this.#start(other);
    const lastIndex = (): number =>
      Math.max(0, ...this.#group.leaders().map((leader) => leader.running.status().lastIndex));
    const firstIndex = lastIndex();
    this.#missing = member;
    await this.#proposeUntil(() => lastIndex() > firstIndex + MISSED_ENTRIES);
    this.#missing = null;
    const countBefore = installedSnapshots(member).length;
    this.#slowStore(member);
    await this.#start(member);
    await this.#proposeUntil(() => installedSnapshots(member).length > countBefore);
  }

  /** Runs the members with requests, and restarts those that are down, for some seconds at most. */
  async #proposeUntil(isDone: () => boolean): Promise<void> {
    for (let step = 0; step < OUTAGE_STEPS_MAX && !isDone(); step += 1) {
      this.#propose();
      await this.#group.clock.advance(100);
      if (this.#group.random.integer(5) === 0) await this.#startOne();
    }
  }

  /**
   * Slows the commits to the stores of a member until its next power failure. While it receives a
   * snapshot, the leader fails or loses its connection to the member.
   */
  #slowStore(member: TestMember): void {
    const { clock, random } = this.#group;
    let interruptionsLeft = 3;
    member.faults.commit = async (name) => {
      await clock.sleep(random.integer(30));
      const isReceiving = (await member.stores.list()).some((other) => other < name);
      const [leader] = this.#group.leaders();
      if (!isReceiving || leader === undefined || leader === member) return;
      if (interruptionsLeft === 0 || random.integer(5) > 0) return;
      interruptionsLeft -= 1;
      this.#counts.interruptions += 1;
      if (random.fraction() < 0.5) this.kill(leader);
      else this.#group.network.reset(member.host, leader.host);
    };
  }

  /** Makes writes or syncs of a member's log fail until its next power failure. */
  #breakDisk(member: TestMember): void {
    const { random } = this.#group;
    const kind = random.fraction() < 0.5 ? "sync" : "write";
    const errno = random.fraction() < 0.5 ? "EIO" : "ENOSPC";
    let skip = random.integer(3);
    member.faults.disk = (operation) => {
      if (operation.kind !== kind || !operation.path.startsWith("log/")) return null;
      skip -= 1;
      if (skip >= 0) return null;
      this.#counts.diskFaults += 1;
      return errno;
    };
  }
}

/** Returns the lines with which the member has logged the installation of a snapshot. */
function installedSnapshots({ log }: TestMember): TestMember["log"]["lines"] {
  return log.lines.filter(({ message }) => message === "Installed a snapshot");
}

function repair({ faults }: TestMember): void {
  faults.disk = () => null;
  faults.delay = () => Promise.resolve();
  faults.commit = async () => {};
}
