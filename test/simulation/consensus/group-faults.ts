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
  snapshots: number;
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
    snapshots: 0,
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

/**
 * Injects faults into the members of a group: power, network, disks, and a stall of all members.
 */
export class GroupFaults {
  readonly #group: TestGroup;
  readonly #counts: FaultCounts;

  constructor(group: TestGroup, counts: FaultCounts) {
    this.#group = group;
    this.#counts = counts;
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

  /** Adds the number of installed snapshots to the counts. */
  countSnapshots(): void {
    for (const { log } of this.#group.members) {
      const messages = log.lines.map((line) => line.message);
      this.#counts.snapshots += messages.filter((text) => text === "Installed a snapshot").length;
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
    const member = this.#group.members.find((each) => !each.isUp);
    if (member === undefined) return;
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

function repair({ faults }: TestMember): void {
  faults.disk = () => null;
  faults.delay = () => Promise.resolve();
}
