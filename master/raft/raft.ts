import type { LogIndex, MemberId, Term } from "../../shared/base/ids.ts";
import { type Violation, violationOf } from "./check-message.ts";
import type { Core, ReadState, Role } from "./core.ts";
import { createCore, leaderIdOf } from "./core.ts";
import { campaign } from "./election.ts";
import { isMember } from "./membership.ts";
import type { MembershipChange } from "./membership-change.ts";
import { proposalOf } from "./membership-change.ts";
import type {
  Entry,
  HardState,
  Membership,
  Message,
  PeerMessage,
  StorageAppend,
  StorageAppended,
  StorageApply,
} from "./messages.ts";
import { INDEX_ZERO, NO_MEMBER } from "./messages.ts";
import type { RaftOptions } from "./options.ts";
import { noteViolation } from "./other-history.ts";
import type { ReplicationState } from "./progress.ts";
import type { ProposeResult } from "./propose.ts";
import { applyChange, propose } from "./propose.ts";
import { requestRead } from "./read-index.ts";
import { broadcastAppend } from "./send-log.ts";
import { reportSnapshot } from "./snapshot.ts";
import { step, tick } from "./step.ts";
import { requestTransfer } from "./transfer.ts";

/**
 * The work that the core requests from its driver.
 *
 * The driver has two queues. It processes each in order and without loss, and may add work while
 * earlier work is in progress:
 *
 * - `messages` are sent immediately. The core repeats a message that is lost. The driver may send a
 *   `snapshot-request` on a separate connection; it then calls `reportSnapshot`.
 * - `append` goes to the queue of the log writer. The writer first replaces log and state by
 *   `snapshot`, then writes `entries`, truncating the log at the index of the first one, then saves
 *   `hardState`, and syncs. The hard state is last, so that an interrupted write leaves no commit
 *   index after the end of the log. `replies` may be delivered **only when this and every earlier
 *   `append` are durable**: those to this member with `step`, the others over the network, in
 *   order. One sync may serve several appends; an append without replies needs none. The entries
 *   are in the `Storage` before the replies are delivered.
 * - `apply` goes to the queue of the state machine. The driver calls `applyMembershipChange` for
 *   each entry that is not `normal`. When all entries are applied, it passes `reply` to `step`. The
 *   result need not be durable: a member that restarts reports its `appliedIndex`. A snapshot
 *   replaces the state: it waits until the current apply has ended, and later applies wait for it.
 * - `readStates` are reads that may be served once the state includes their index.
 *
 * A driver whose write or sync failed must stop the process and must not repeat the write: the core
 * relies on everything that was reported as durable (Raft thesis §3.8).
 */
export interface Ready {
  /** `null` if unchanged since the last Ready. */
  readonly leadership: Leadership | null;
  readonly messages: readonly PeerMessage[];
  readonly append: StorageAppend | null;
  readonly apply: StorageApply | null;
  readonly readStates: readonly ReadState[];
}

/** Role, leader and term of a member. */
export interface Leadership {
  readonly role: Role["kind"];
  /** `NO_MEMBER` if unknown. */
  readonly leaderId: MemberId;
  /** A leader whose term has changed has lost the proposals that are not applied yet. */
  readonly term: Term;
}

/** The part of the status that a driver reads often. */
export interface BasicStatus {
  readonly lastIndex: LogIndex;
  readonly committedIndex: LogIndex;
  readonly isLearner: boolean;
}

/** State of a member, for status reports and tests. */
export interface RaftStatus extends Leadership {
  readonly id: MemberId;
  readonly votedFor: MemberId;
  readonly lastIndex: LogIndex;
  readonly committedIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly membership: Membership;
  /** Target of the leadership transfer in progress; otherwise `NO_MEMBER`. */
  readonly transferee: MemberId;
  /** Leader: index of the entry after its last membership change (`settleChanges`); otherwise 0. */
  readonly settledIndex: LogIndex;
  /** Leader: progress of each member, by ascending id. Otherwise empty. */
  readonly progress: readonly ProgressStatus[];
}

/** A leader's view of the log of one member; see `Progress`. */
export interface ProgressStatus {
  readonly id: MemberId;
  readonly state: ReplicationState;
  readonly matchIndex: LogIndex;
  readonly nextIndex: LogIndex;
  readonly isThrottled: boolean;
  readonly isRecentlyActive: boolean;
  readonly inflightCount: number;
  readonly isInflightFull: boolean;
}

/** Result of `RaftNode.step`. */
export type StepResult =
  | "accepted"
  /** A reply of a process that is not a member. Ignored. */
  | "unknown-peer"
  /** No member of a sound group sends this message. Ignored. */
  | Violation;

/** Result of `RaftNode.readIndex`. `refused`: no request was sent. */
export type ReadIndexResult =
  | { readonly kind: "requested"; readonly readId: number }
  | { readonly kind: "refused"; readonly reason: "no-leader" | "overloaded" };

/**
 * One member of a Raft group, without clock, disk or network. The driver calls
 *
 * - `tick` at a fixed rate,
 * - `step` for each message from another member, and for each reply of the driver's queues,
 * - `propose`, `proposeChange`, `readIndex` and `transferLeadership` on behalf of clients,
 *
 * and after each of these calls, while `hasReady` is true, calls `ready` and performs its work.
 */
export class RaftNode {
  readonly #core: Core;
  #lastLeadership: Leadership;
  #lastHardState: HardState;

  constructor(core: Core) {
    this.#core = core;
    this.#lastLeadership = leadershipOf(core);
    this.#lastHardState = hardStateOf(core);
  }

  /** Advances the logical clock by one tick: election and heartbeat timeouts. */
  tick(): void {
    tick(this.#core);
  }

  /** Processes a message from another member, or a reply of the driver's queues; see `Ready`. */
  step(message: Message): StepResult {
    if (isResponse(message) && !isMember(this.#core.membership, message.from)) {
      return "unknown-peer";
    }
    if (isFromPeer(message) && message.from !== this.#core.id) {
      const violation = violationOf(this.#core, message);
      if (violation !== null) return noteViolation(this.#core, message, violation);
    }
    step(this.#core, message);
    return "accepted";
  }

  /** Appends one entry for each payload to the leader's log, all of them or none. */
  propose(payloads: readonly Uint8Array[]): ProposeResult {
    return propose(
      this.#core,
      payloads.map((data) => ({ kind: "normal", data })),
    );
  }

  /** Proposes a membership change. Refused while a change is pending. Effective when applied. */
  proposeChange(change: MembershipChange): ProposeResult {
    return propose(this.#core, [proposalOf(change)]);
  }

  /**
   * Requests an index that covers every write acknowledged before this call. The answer is a
   * `ReadState` with the same `readId`. It may be lost: the driver then calls again after a timeout
   * and ignores answers to earlier calls. One call may serve all reads that are waiting.
   */
  readIndex(): ReadIndexResult {
    const core = this.#core;
    const readId = core.nextReadId;
    core.nextReadId += 1;
    if (leaderIdOf(core) === NO_MEMBER) return { kind: "refused", reason: "no-leader" };
    if (!requestRead(core, readId)) return { kind: "refused", reason: "overloaded" };
    return { kind: "requested", readId };
  }

  /** Starts an election without waiting for the timeout. */
  campaign(): void {
    campaign(this.#core, "timeout");
  }

  /** Transfers leadership, or asks the leader to do it; see `status().transferee`. */
  transferLeadership(transferee: MemberId): void {
    requestTransfer(this.#core, transferee);
  }

  /** Forgets the leader, so that this member can vote, without starting an election. */
  forgetLeader(): void {
    const { role, options } = this.#core;
    if (role.kind === "follower" && options.readMode !== "lease") role.leaderId = NO_MEMBER;
  }

  /** Reports that a message to `id` could not be sent: earlier ones may be lost too. */
  reportUnreachable(id: MemberId): void {
    const { role } = this.#core;
    if (role.kind !== "leader") return;
    const progress = role.progress.get(id);
    if (progress?.state.kind === "replicate") progress.becomeProbe();
  }

  /**
   * Reports the result of a `snapshot-request` to `id`, which receives no entries until the report.
   */
  reportSnapshot(id: MemberId, outcome: "delivered" | "failed"): void {
    const { role } = this.#core;
    if (role.kind === "leader") reportSnapshot(role, id, outcome);
  }

  /** Applies a committed change; called when its entry is applied. @returns the new membership. */
  applyMembershipChange(change: MembershipChange): Membership {
    return applyChange(this.#core, change);
  }

  /** Reports that the storage has loaded entries that were `unavailable`. */
  entriesLoaded(): void {
    const { log, role } = this.#core;
    log.entriesLoaded();
    if (role.kind === "leader") broadcastAppend(this.#core, role, "skip-empty");
  }

  /** Returns whether `ready` would return work. */
  hasReady(): boolean {
    const core = this.#core;
    return (
      core.outbox.length > 0 ||
      core.afterAppend.length > 0 ||
      core.readStates.length > 0 ||
      core.log.unstable.hasNextEntries() ||
      core.log.unstable.nextSnapshot() !== null ||
      core.log.hasNextCommitted() ||
      !equalHardStates(hardStateOf(core), this.#lastHardState) ||
      !equalLeaderships(leadershipOf(core), this.#lastLeadership)
    );
  }

  /** Returns the pending work, once. The driver must perform it as `Ready` describes. */
  ready(): Ready {
    const core = this.#core;
    const leadership = leadershipOf(core);
    const committed = core.log.nextCommitted();
    const ready: Ready = {
      leadership: equalLeaderships(leadership, this.#lastLeadership) ? null : leadership,
      messages: core.outbox,
      append: this.#takeAppend(),
      apply: applyOf(core, committed),
      readStates: core.readStates,
    };
    this.#lastLeadership = leadership;
    core.outbox = [];
    core.readStates = [];
    core.log.acceptApplying(committed);
    return ready;
  }

  /** Returns the cheap part of the status: `status` copies all progress entries. */
  basicStatus(): BasicStatus {
    const { id, log, membership } = this.#core;
    return {
      lastIndex: log.lastIndex(),
      committedIndex: log.committedIndex,
      isLearner: membership.learners.includes(id),
    };
  }

  /** Returns the complete status of this member. */
  status(): RaftStatus {
    const { id, votedFor, log, membership, role } = this.#core;
    return {
      ...leadershipOf(this.#core),
      id,
      votedFor,
      lastIndex: log.lastIndex(),
      committedIndex: log.committedIndex,
      appliedIndex: log.appliedIndex,
      membership,
      transferee: role.kind === "leader" ? role.transferee : NO_MEMBER,
      settledIndex: role.kind === "leader" ? role.settledIndex : INDEX_ZERO,
      progress: progressOf(role),
    };
  }

  #takeAppend(): StorageAppend | null {
    const core = this.#core;
    const { unstable } = core.log;
    const hardState = hardStateOf(core);
    const isHardStateNew = !equalHardStates(hardState, this.#lastHardState);
    const entries = unstable.nextEntries();
    const snapshot = unstable.nextSnapshot();
    const replies = core.afterAppend;
    const isIdle = entries.length === 0 && snapshot === null && replies.length === 0;
    if (isIdle && !isHardStateNew) return null;
    // Must be last: the leader counts its own acknowledgement while the entries are in memory.
    if (unstable.hasEntries || snapshot !== null) replies.push(appendedOf(core));
    core.afterAppend = [];
    this.#lastHardState = hardState;
    unstable.acceptInProgress();
    return { hardState: isHardStateNew ? hardState : null, entries, snapshot, replies };
  }
}

/** Creates a node from the stored state of a member, or of a new one. */
export function createRaftNode(options: RaftOptions): RaftNode {
  return new RaftNode(createCore(options));
}

function appendedOf(core: Core): StorageAppended {
  const { unstable } = core.log;
  return {
    kind: "storage-appended",
    to: core.id,
    term: core.term,
    last: unstable.hasEntries ? core.log.last() : null,
    snapshot: unstable.nextSnapshot(),
  };
}

function applyOf(core: Core, entries: readonly Entry[]): StorageApply | null {
  if (entries.length === 0) return null;
  return { entries, reply: { kind: "storage-applied", to: core.id, entries } };
}

function leadershipOf(core: Core): Leadership {
  return { role: core.role.kind, leaderId: leaderIdOf(core), term: core.term };
}

function hardStateOf(core: Core): HardState {
  const { term, votedFor, log } = core;
  return { term, votedFor, commitIndex: log.committedIndex };
}

function equalHardStates(left: HardState, right: HardState): boolean {
  return (
    left.term === right.term &&
    left.votedFor === right.votedFor &&
    left.commitIndex === right.commitIndex
  );
}

function equalLeaderships(left: Leadership, right: Leadership): boolean {
  return left.role === right.role && left.leaderId === right.leaderId && left.term === right.term;
}

function progressOf(role: Role): readonly ProgressStatus[] {
  if (role.kind !== "leader") return [];
  const statuses = Array.from(role.progress, ([id, progress]) => ({
    id,
    state: progress.state,
    matchIndex: progress.matchIndex,
    nextIndex: progress.nextIndex,
    isThrottled: progress.isThrottled,
    isRecentlyActive: progress.isRecentlyActive,
    inflightCount: progress.inflights.count,
    isInflightFull: progress.inflights.isFull,
  }));
  return statuses.sort((left, right) => left.id - right.id);
}

/** Messages that are ignored unless they come from a member. */
type Response = Extract<
  PeerMessage,
  {
    kind:
      | "vote-reply"
      | "pre-vote-reply"
      | "append-accepted"
      | "append-rejected"
      | "heartbeat-reply"
      | "read-index-reply";
  }
>;

/** Returns whether `message` is not a completion of the driver's queues. */
function isFromPeer(message: Message): message is PeerMessage {
  return "from" in message;
}

function isResponse(message: Message): message is Response {
  switch (message.kind) {
    case "vote-reply":
    case "pre-vote-reply":
    case "append-accepted":
    case "append-rejected":
    case "heartbeat-reply":
    case "read-index-reply":
      return true;
    default:
      return false;
  }
}
