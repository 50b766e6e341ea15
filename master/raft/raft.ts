import type { LogIndex, MemberId, Term } from "../../shared/base/ids.ts";
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
import type { ReplicationState } from "./progress.ts";
import type { ProposeResult } from "./propose.ts";
import { applyChange, propose } from "./propose.ts";
import { requestRead } from "./read-index.ts";
import { broadcastAppend } from "./send-log.ts";
import { reportSnapshot } from "./snapshot.ts";
import { step, tick } from "./step.ts";
import { requestTransfer } from "./transfer.ts";

/**
 * The work that the core asks of its driver.
 *
 * The driver has two queues, each worked off in order and without loss, and may fill both while
 * earlier work is under way:
 *
 * - `messages` are sent at once. One that is lost is repeated by the core. A `snapshot-request` may
 *   take its own way; the driver then calls `reportSnapshot`.
 * - `append` goes to the log's queue. Its writer first puts `snapshot` in place of log and state,
 *   then writes `entries`, dropping what the log has from the first one's index on, then saves
 *   `hardState`, so that a write cut short leaves no commit index beyond the log; and syncs. **Only
 *   when this and every `append` before it are durable** may its `replies` be delivered: those to
 *   this member with `step`, the others over the network, in order. One sync may serve many; without
 *   replies none is needed. Entries are in the `Storage` before the replies are delivered.
 * - `apply` goes to the state machine's queue. For each entry that is no `normal` one the driver calls
 *   `applyMembershipChange`. When all are applied, `reply` goes to `step`; durable they need not be,
 *   for a member that starts again says with `appliedIndex` where it stands. A snapshot replaces the
 *   state: it waits for the applying that is under way, and what is applied next waits for it.
 * - `readStates` are reads that may be served once the state shows their index.
 *
 * A driver whose write or sync failed must stop the process, and must never try the write again:
 * the core counts on what it was told is durable (Raft thesis §3.8).
 */
export interface Ready {
  /** `null` if unchanged since the last Ready. */
  readonly leadership: Leadership | null;
  readonly messages: readonly PeerMessage[];
  readonly append: StorageAppend | null;
  readonly apply: StorageApply | null;
  readonly readStates: readonly ReadState[];
}

export interface Leadership {
  readonly role: Role["kind"];
  /** `NO_MEMBER` if unknown. */
  readonly leaderId: MemberId;
  /** A leader of another term than before has lost what it proposed, unless it is applied yet. */
  readonly term: Term;
}

/** How far a member's log has come. */
export interface BasicStatus {
  readonly lastIndex: LogIndex;
  readonly committedIndex: LogIndex;
  readonly isLearner: boolean;
}

export interface RaftStatus extends Leadership {
  readonly id: MemberId;
  readonly votedFor: MemberId;
  readonly lastIndex: LogIndex;
  readonly committedIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly membership: Membership;
  /** `NO_MEMBER` unless this leader is handing over. */
  readonly transferee: MemberId;
  /** At a leader, the entry that settles its last membership change; 0 if there was none. */
  readonly settledIndex: LogIndex;
  /** At a leader, by ascending id; else empty. */
  readonly progress: readonly ProgressStatus[];
}

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

export type StepResult =
  | "accepted"
  /** An answer from someone who is not in the configuration. Disregarded. */
  | "unknown-peer";

export type ReadIndexResult =
  | { readonly kind: "requested"; readonly readId: number }
  | { readonly kind: "refused"; readonly reason: "no-leader" | "overloaded" };

/**
 * One member of a Raft group, without clock, disk or network. Its driver calls
 *
 * - `tick` at a fixed rate,
 * - `step` for each message from another member, and for each reply of its own queues,
 * - what its clients want: `propose`, `proposeChange`, `readIndex`, `transferLeadership`,
 *
 * and after any of these, while `hasReady`, takes `ready` and does what it says.
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

  tick(): void {
    tick(this.#core);
  }

  /** Takes a message from another member, or a reply of the own queues; see `Ready`. */
  step(message: Message): StepResult {
    if (isResponse(message) && !isMember(this.#core.membership, message.from)) {
      return "unknown-peer";
    }
    step(this.#core, message);
    return "accepted";
  }

  /** Puts one entry for each of `payloads` into the log, all of them or none. */
  propose(payloads: readonly Uint8Array[]): ProposeResult {
    return propose(
      this.#core,
      payloads.map((data) => ({ kind: "normal", data })),
    );
  }

  /** Refused while another change is under way; it holds once its entry is applied. */
  proposeChange(change: MembershipChange): ProposeResult {
    return propose(this.#core, [proposalOf(change)]);
  }

  /**
   * Asks for an index that covers everything that was acknowledged before this call. The answer is
   * a `ReadState` with the same `readId`. It may never come: after a while ask anew; answers to
   * earlier attempts are then disregarded. One call may serve all reads that wait at its time.
   */
  readIndex(): ReadIndexResult {
    const core = this.#core;
    const readId = core.nextReadId;
    core.nextReadId += 1;
    if (leaderIdOf(core) === NO_MEMBER) return { kind: "refused", reason: "no-leader" };
    if (!requestRead(core, readId)) return { kind: "refused", reason: "overloaded" };
    return { kind: "requested", readId };
  }

  /** Stands for election without waiting for the timeout. */
  campaign(): void {
    campaign(this.#core, "timeout");
  }

  /** Asks the leader, or this member if it leads, to hand over; see `status().transferee`. */
  transferLeadership(transferee: MemberId): void {
    requestTransfer(this.#core, transferee);
  }

  /** Believes the leader gone, so that this member may vote, and does not stand for election. */
  forgetLeader(): void {
    const { role, options } = this.#core;
    if (role.kind === "follower" && options.readMode !== "lease") role.leaderId = NO_MEMBER;
  }

  /** A message to `id` could not be sent: those before it may be lost as well. */
  reportUnreachable(id: MemberId): void {
    const { role } = this.#core;
    if (role.kind !== "leader") return;
    const progress = role.progress.get(id);
    if (progress?.state.kind === "replicate") progress.becomeProbe();
  }

  /** What became of a `snapshot-request` to `id`. Without it no entries are sent to `id` again. */
  reportSnapshot(id: MemberId, outcome: "delivered" | "failed"): void {
    const { role } = this.#core;
    if (role.kind === "leader") reportSnapshot(role, id, outcome);
  }

  /** Called for each committed change when it is applied. @returns what holds from then on. */
  applyMembershipChange(change: MembershipChange): Membership {
    return applyChange(this.#core, change);
  }

  /** Entries that the storage called unavailable are there now. */
  entriesLoaded(): void {
    const { log, role } = this.#core;
    log.entriesLoaded();
    if (role.kind === "leader") broadcastAppend(this.#core, role, "skip-empty");
  }

  /** Whether `ready` has anything to say. */
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

  /** Takes the work that has come up; the driver must do it, as `Ready` says. */
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

  /** Costs little, where `status` looks up everything. */
  basicStatus(): BasicStatus {
    const { id, log, membership } = this.#core;
    return {
      lastIndex: log.lastIndex(),
      committedIndex: log.committedIndex,
      isLearner: membership.learners.includes(id),
    };
  }

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
    // Last, so that a leader counts its own acknowledgement while the entries are still in memory.
    if (unstable.hasEntries || snapshot !== null) replies.push(appendedOf(core));
    core.afterAppend = [];
    this.#lastHardState = hardState;
    unstable.acceptInProgress();
    return { hardState: isHardStateNew ? hardState : null, entries, snapshot, replies };
  }
}

/** A member as it was when it stopped, or a new one. */
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
