import type { ReadState } from "../../../master/raft/core.ts";
import { isJoint, isMember } from "../../../master/raft/membership.ts";
import type { ChangeOperation, MembershipChange } from "../../../master/raft/membership-change.ts";
import { LEAVE_JOINT } from "../../../master/raft/membership-change.ts";
import type { PeerMessage, Snapshot } from "../../../master/raft/messages.ts";
import type { LogIndex, MemberId, Term } from "../../../shared/base/ids.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import type { Faults } from "./faults.ts";
import { drawFaults, NO_FAULTS } from "./faults.ts";
import { RaftChecks, RaftViolation } from "./raft-checks.ts";
import type { MemberEvents } from "./simulated-member.ts";
import { SimulatedMember } from "./simulated-member.ts";
import { SimulatedNetwork } from "./simulated-network.ts";

/** All possible members of the group; the first three are the founders. */
const MEMBER_IDS = [1, 2, 3, 4, 5, 6] as readonly number[] as readonly MemberId[];
const FOUNDER_IDS = MEMBER_IDS.slice(0, 3);
/**
 * Within this time a group without faults must have a leader, and all members must have caught up.
 */
const RECOVERY_TICKS = 600;

/** Counts of events, all of which must be positive: a run without events proves nothing. */
export interface SimulationCounts {
  electionCount: number;
  committedCount: number;
  readCount: number;
  crashCount: number;
  partitionCount: number;
  lostCount: number;
  changeCount: number;
  transferCount: number;
  installCount: number;
}

/** A report of the driver about a snapshot, due at a later tick. */
interface SnapshotReport {
  readonly dueTick: number;
  readonly member: SimulatedMember;
  readonly to: MemberId;
  readonly isSent: boolean;
}

/** A read that is not answered yet. */
interface OpenRead {
  readonly memberId: MemberId;
  /** Highest commit index of any member at the start of the read. */
  readonly atLeastIndex: LogIndex;
}

/** Simulates a group of members under faults. Equal seeds produce equal runs. */
export class RaftSimulation implements MemberEvents {
  readonly #random: SeededRandom;
  readonly #network: SimulatedNetwork;
  readonly #members = new Map<MemberId, SimulatedMember>();
  readonly #checks: RaftChecks;
  readonly #openReads = new Map<number, OpenRead>();
  #reports: SnapshotReport[] = [];
  /** Messages for paused members, delivered when they continue. */
  #backlog: PeerMessage[] = [];
  #faults: Faults;
  #tick = 0;
  #payloadCount = 0;
  readonly #counts = { readCount: 0, crashCount: 0, partitionCount: 0, changeCount: 0 };
  readonly #moreCounts = { transferCount: 0, installCount: 0 };

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    this.#network = new SimulatedNetwork(this.#random);
    this.#faults = drawFaults(this.#random);
    // Safety must not depend on these settings, so each is also tested when off.
    const settings = {
      forwardProposals: this.#chance(0.5),
      checkQuorum: this.#chance(0.6),
      preVote: this.#faults.changeRate > 0 || this.#chance(0.5),
    };
    for (const id of MEMBER_IDS) {
      const founding = FOUNDER_IDS.includes(id) ? FOUNDING : null;
      const random = this.#random;
      const member = new SimulatedMember({ id, random, events: this, founding, settings });
      this.#members.set(id, member);
    }
    this.#checks = new RaftChecks(this.#members, FOUNDING);
    for (const member of this.#members.values()) member.start();
  }

  get counts(): SimulationCounts {
    return {
      ...this.#counts,
      ...this.#moreCounts,
      electionCount: this.#checks.electionCount,
      committedCount: this.#checks.committedIndex,
      lostCount: this.#network.lostCount,
    };
  }

  /** Runs the simulation. @throws {RaftViolation} or an assertion error of the core. */
  run(tickCount: number): void {
    for (let ticks = 0; ticks < tickCount; ticks += 1) {
      this.#injectFaults();
      this.#runClients();
      this.#advance();
    }
    this.#recover();
  }

  stepped(member: SimulatedMember): void {
    this.#checks.stepped(member);
  }

  appending(...event: Parameters<MemberEvents["appending"]>): void {
    this.#checks.appending(...event);
  }

  applied(...event: Parameters<MemberEvents["applied"]>): void {
    this.#checks.applied(...event);
  }

  installed(...event: Parameters<MemberEvents["installed"]>): void {
    this.#moreCounts.installCount += 1;
    this.#checks.installed(...event);
  }

  replyReleased(message: PeerMessage): void {
    this.#checks.replyReleased(message);
  }

  sent(member: SimulatedMember, message: PeerMessage): void {
    this.#checks.sent(message);
    const isSent = this.#network.send(message, this.#tick, this.#faults);
    if (message.kind === "snapshot-request") this.#reportSnapshot(member, message, isSent);
    else if (!isSent && this.#chance(0.3)) member.node.reportUnreachable(message.to);
  }

  read(member: SimulatedMember, { readId, readIndex }: ReadState): void {
    const open = this.#openReads.get(readId);
    if (open === undefined) return; // A duplicate answer, or one from before a crash.
    if (open.memberId !== member.id)
      throw new RaftViolation("A read is answered to another member");
    this.#openReads.delete(readId);
    this.#counts.readCount += 1;
    if (readIndex < open.atLeastIndex) {
      throw new RaftViolation(
        `Stale read at ${member.id}: ${readIndex}, when ${open.atLeastIndex} was committed`,
      );
    }
  }

  #injectFaults(): void {
    const faults = this.#faults;
    if (this.#chance(faults.partitionRate)) {
      this.#counts.partitionCount += 1;
      this.#network.partition(MEMBER_IDS);
    }
    if (this.#chance(faults.healRate)) this.#network.heal();
    for (const member of this.#members.values()) {
      if (!member.isRunning) {
        if (this.#chance(faults.restartRate)) member.start();
      } else if (this.#chance(faults.crashRate)) {
        this.#counts.crashCount += 1;
        member.crash();
        this.#backlog = this.#backlog.filter((message) => message.to !== member.id);
      } else if (this.#chance(faults.pauseRate)) {
        member.pausedUntilTick = this.#tick + 10 + this.#random.integer(80);
      }
    }
  }

  /** Performs the requests of clients and operators. */
  #runClients(): void {
    for (const member of this.#members.values()) {
      if (!this.#isActive(member)) continue;
      if (this.#chance(0.15)) this.#propose(member);
      // A member that was paused may not know that it was deposed.
      const hasResumed = member.pausedUntilTick === this.#tick;
      if (this.#chance(hasResumed ? 0.5 : 0.05)) this.#read(member);
      this.#operate(member);
    }
  }

  #operate(member: SimulatedMember): void {
    const { compactRate, changeRate, transferRate } = this.#faults;
    if (this.#chance(compactRate)) member.compact();
    if (this.#chance(0.0005)) member.node.forgetLeader();
    if (this.#chance(0.0005)) member.node.campaign();
    if (member.core.role.kind !== "leader") return;
    if (this.#chance(changeRate)) this.#change(member);
    if (this.#chance(transferRate)) this.#transfer(member);
  }

  #propose(member: SimulatedMember): void {
    const payloads = Array.from({ length: 1 + this.#random.integer(3) }, () => {
      this.#payloadCount += 1;
      return new TextEncoder().encode(
        `${this.#payloadCount}`.padEnd(this.#random.integer(60), "."),
      );
    });
    member.node.propose(payloads);
  }

  #read(member: SimulatedMember): void {
    const result = member.node.readIndex();
    if (result.kind === "refused") return;
    const atLeastIndex = this.#checks.committedIndex;
    this.#openReads.set(result.readId, { memberId: member.id, atLeastIndex });
  }

  #change(member: SimulatedMember): void {
    const { node, core } = member;
    const change = isJoint(core.membership) ? LEAVE_JOINT : this.#drawChange();
    if (node.proposeChange(change).kind === "appended") this.#counts.changeCount += 1;
  }

  #drawChange(): MembershipChange {
    const operations = Array.from({ length: 1 + this.#random.integer(3) }, () => {
      const kind = this.#pick(["add-voter", "add-voter", "add-learner", "remove"] as const);
      return { kind, memberId: this.#pick(MEMBER_IDS) } satisfies ChangeOperation;
    });
    const context = new Uint8Array(0);
    const [operation] = operations;
    if (operation !== undefined && operations.length === 1 && this.#chance(0.3)) {
      return { kind: "v1", operation, context };
    }
    const transition = this.#pick(["auto", "implicit", "explicit"] as const);
    return { kind: "v2", transition, operations, context };
  }

  #transfer(member: SimulatedMember): void {
    this.#moreCounts.transferCount += 1;
    member.node.transferLeadership(this.#pick(MEMBER_IDS));
  }

  #reportSnapshot(member: SimulatedMember, message: PeerMessage, isSent: boolean): void {
    const dueTick = this.#tick + 5 + this.#random.integer(30);
    this.#reports.push({ dueTick, member, to: message.to, isSent });
  }

  /** Every snapshot is reported eventually, though not always correctly. */
  #deliverReports(): void {
    const due = this.#reports.filter((report) => report.dueTick <= this.#tick);
    this.#reports = this.#reports.filter((report) => report.dueTick > this.#tick);
    for (const { member, to, isSent } of due) {
      if (!member.isRunning) continue;
      member.node.reportSnapshot(to, isSent ? "delivered" : "failed");
    }
  }

  #advance(): void {
    this.#tick += 1;
    this.#deliverReports();
    const { writeTicksMax } = this.#faults;
    const arrived = [...this.#backlog, ...this.#network.takeDue(this.#tick)];
    this.#backlog = [];
    for (const message of arrived) {
      const member = this.#members.get(message.to);
      if (member === undefined || !member.isRunning) continue;
      // A member that resumes processes the requests of its clients before these messages.
      if (member.pausedUntilTick >= this.#tick) {
        this.#backlog.push(message);
        continue;
      }
      member.receive(message);
      this.#checks.stepped(member);
      if (this.#chance(0.7)) member.drain(this.#tick, writeTicksMax);
    }
    for (const member of this.#members.values()) {
      if (!this.#isActive(member)) continue;
      if (member.isFetching) member.completeFetch();
      member.tick(this.#tick, writeTicksMax);
    }
  }

  /** Liveness (Raft §5.6): without faults the group elects a leader and all members catch up. */
  #recover(): void {
    this.#faults = NO_FAULTS;
    this.#network.heal();
    for (const member of this.#members.values()) {
      member.pausedUntilTick = 0;
      if (!member.isRunning) member.start();
    }
    let marker: { readonly index: LogIndex; readonly term: Term } | null = null;
    for (let ticks = 0; ticks < RECOVERY_TICKS; ticks += 1) {
      this.#advance();
      const leader = this.#settledLeader();
      if (leader === null) continue;
      if (marker === null || leader.core.term !== marker.term) {
        const result = leader.node.propose([new TextEncoder().encode("all is well")]);
        if (result.kind !== "appended") continue;
        marker = { index: result.firstIndex, term: result.term };
        this.#openReads.clear();
        this.#read(leader);
      }
      if (this.#openReads.size === 0 && this.#haveAllApplied(leader, marker.index)) return;
    }
    throw new RaftViolation(`No recovery within ${RECOVERY_TICKS} ticks after the faults ended`);
  }

  /** Returns the leader of the latest term if its membership is not joint. */
  #settledLeader(): SimulatedMember | null {
    const leaders = [...this.#members.values()].filter(({ core }) => core.role.kind === "leader");
    leaders.sort((left, right) => right.core.term - left.core.term);
    const [leader] = leaders;
    if (leader === undefined) return null;
    if (!isJoint(leader.core.membership)) return leader;
    leader.node.proposeChange(LEAVE_JOINT);
    return null;
  }

  #haveAllApplied(leader: SimulatedMember, index: LogIndex): boolean {
    const { membership } = leader.core;
    const members = [...this.#members.values()].filter(({ id }) => isMember(membership, id));
    return members.every((member) => member.appliedState.index >= index);
  }

  #isActive(member: SimulatedMember): boolean {
    return member.isRunning && member.pausedUntilTick <= this.#tick;
  }

  #chance(rate: number): boolean {
    return rate > 0 && this.#random.fraction() < rate;
  }

  #pick<T>(choices: readonly T[]): T {
    return choices[this.#random.integer(choices.length)] as T;
  }
}

/** All founders start with the same state, as if it had been applied at index 1. */
const FOUNDING: Snapshot = {
  index: 1 as LogIndex,
  term: 1 as Term,
  membership: {
    voters: FOUNDER_IDS,
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  },
  data: new Uint8Array(4),
};
