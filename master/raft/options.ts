import { assert } from "../../shared/base/assert.ts";
import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import { INDEX_ZERO, NO_MEMBER } from "./messages.ts";
import type { Storage } from "./storage.ts";

/** What a member is made of. What has a default in `RAFT_DEFAULTS` may be left out. */
export interface RaftOptions extends Partial<RaftSettings> {
  readonly id: MemberId;
  readonly storage: Storage;
  /** A float in [0, 1), differently seeded on every start. */
  readonly random: () => number;
  /** What the state machine shows already; 0 or left out: what the storage's snapshot holds. */
  readonly appliedIndex?: LogIndex;
}

export interface RaftSettings {
  /** A follower that hears nothing for this many ticks, or up to twice as many, stands for election. */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** Ask whether an election could be won before disturbing anyone with a new term: thesis §9.6. */
  readonly preVote: boolean;
  /** A leader that does not hear from a quorum for an election timeout steps down: thesis §6.2. */
  readonly checkQuorum: boolean;
  /** A leader that applies its own removal or demotion steps down. */
  readonly stepDownOnRemoval: boolean;
  /**
   * A leader puts one more entry behind a change that it has applied. Once that is committed a majority
   * of those that stay know for good that the change is: each wrote the commit index with it.
   */
  readonly settleChanges: boolean;
  /** Followers pass proposals on. Off in the product: a client goes to the leader, which answers it. */
  readonly forwardProposals: boolean;
  /** Refuse a membership change that cannot hold against the configuration applied here. */
  readonly validateChanges: boolean;
  /**
   * `quorum` confirms every read with a majority. `lease` answers at once and trusts that all clocks
   * run alike; it breaks G14 and exists for comparison only. Needs `checkQuorum`.
   */
  readonly readMode: "quorum" | "lease";
  /**
   * Let entries be applied before they are durable here. Only for a driver that writes and applies
   * a `Ready` in one step, or a crash can leave a state ahead of its log.
   */
  readonly applyUnstable: boolean;
  /**
   * Give a learner whose log is empty the state rather than the log from its beginning: the founders
   * stand in the state and in no entry.
   */
  readonly snapshotFirst: boolean;
  /** Entries in one append request. A single larger entry is still sent, alone. */
  readonly messageBytesMax: number;
  /** Entries handed out to be applied and not yet applied. */
  readonly applyingBytesMax: number;
  /** Data of entries in a leader's log that are not yet applied; what exceeds it is refused. */
  readonly uncommittedBytesMax: number;
  /** Append requests under way to one member. */
  readonly inflightMessagesMax: number;
  /** Bytes of entries under way to one member; the last request may exceed it. */
  readonly inflightBytesMax: number;
  /** Reads waiting for confirmation at a leader; further ones are dropped or refused. */
  readonly pendingReadsMax: number;
}

/** Production's settings. Ticks are counted in units of the driver's choice, e.g. 50 ms. */
export const RAFT_DEFAULTS: RaftSettings = {
  electionTicks: 10,
  heartbeatTicks: 2,
  preVote: true,
  checkQuorum: true,
  stepDownOnRemoval: true,
  settleChanges: true,
  forwardProposals: false,
  validateChanges: true,
  readMode: "quorum",
  applyUnstable: false,
  snapshotFirst: false,
  messageBytesMax: 1024 * 1024,
  applyingBytesMax: 8 * 1024 * 1024,
  uncommittedBytesMax: 64 * 1024 * 1024,
  inflightMessagesMax: 256,
  inflightBytesMax: 16 * 1024 * 1024,
  pendingReadsMax: 4096,
};

export interface ResolvedOptions extends RaftSettings {
  readonly id: MemberId;
  readonly storage: Storage;
  readonly random: () => number;
  readonly appliedIndex: LogIndex;
}

/** Fills in the defaults and holds the relations between them. */
export function resolveOptions(options: RaftOptions): ResolvedOptions {
  const resolved = { ...RAFT_DEFAULTS, appliedIndex: INDEX_ZERO, ...options };
  assert(resolved.id > NO_MEMBER, "a member has an id");
  assert(resolved.heartbeatTicks > 0, "heartbeats take time");
  // Raft §5.6: a leader must be heard well before its followers lose patience.
  assert(resolved.electionTicks > resolved.heartbeatTicks, "elections are rarer than heartbeats");
  assert(resolved.inflightMessagesMax > 0, "a request can be under way");
  assert(resolved.inflightBytesMax >= resolved.messageBytesMax, "a full request can be under way");
  assert(resolved.applyingBytesMax > 0, "entries can be applied");
  assert(resolved.pendingReadsMax > 0, "a read can wait");
  assert(resolved.readMode === "quorum" || resolved.checkQuorum, "a lease rests on a quorum");
  return resolved;
}
