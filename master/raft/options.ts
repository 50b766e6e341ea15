import { assert } from "../../shared/base/assert.ts";
import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import { INDEX_ZERO, NO_MEMBER } from "./messages.ts";
import type { Storage } from "./storage.ts";

/** Options of one member. Settings that are left out have the value of `RAFT_DEFAULTS`. */
export interface RaftOptions extends Partial<RaftSettings> {
  readonly id: MemberId;
  readonly storage: Storage;
  /** Returns a float in [0, 1). The seed differs on every start. */
  readonly random: () => number;
  /** Index that the state machine has applied; 0 or absent: that of the storage's snapshot. */
  readonly appliedIndex?: LogIndex;
  /** Returns the data of entry 1, which the first leader of a group appends. Default: no data. */
  readonly foundingData?: () => Uint8Array;
}

/** Settings of the core; the same on all members. */
export interface RaftSettings {
  /** Election timeout: a follower without a leader campaigns after 1 to 2 times this many ticks. */
  readonly electionTicks: number;
  /** Ticks between two heartbeats of a leader. */
  readonly heartbeatTicks: number;
  /** Ask for pre-votes before entering a new term, which would depose the leader: thesis §9.6. */
  readonly preVote: boolean;
  /** A leader without messages from a quorum for an election timeout steps down: thesis §6.2. */
  readonly checkQuorum: boolean;
  /** A leader that applies its own removal or demotion steps down. */
  readonly stepDownOnRemoval: boolean;
  /**
   * A leader appends one more entry after it has applied a membership change. Once that entry is
   * committed, a majority of the remaining members has stored that the change is committed: each
   * wrote the commit index together with the entry (docs/decisions/0007).
   */
  readonly settleChanges: boolean;
  /** Followers forward proposals to the leader. Off in production: clients contact the leader. */
  readonly forwardProposals: boolean;
  /** Refuse a membership change that cannot be applied to the current membership. */
  readonly validateChanges: boolean;
  /**
   * `quorum` confirms every read with a majority. `lease` answers immediately and assumes that all
   * clocks run at the same rate; it breaks G14 (docs/guarantees.md) and exists for comparison only.
   * `lease` needs `checkQuorum`.
   */
  readonly readMode: "quorum" | "lease";
  /**
   * Allow entries to be applied before they are durable on this member. Only for a driver that
   * writes and applies a `Ready` in one step: otherwise a crash can leave a state ahead of its log.
   */
  readonly applyUnstable: boolean;
  /**
   * Send a snapshot, not the log from its beginning, to a learner whose log is empty: the founding
   * members are part of the state and of no entry.
   */
  readonly snapshotFirst: boolean;
  /** Bytes of entries in one append request. A larger entry is sent alone. */
  readonly messageBytesMax: number;
  /** Bytes of entries that the driver has received and not yet applied. */
  readonly applyingBytesMax: number;
  /** Payload bytes in a leader's log that are not yet applied; further proposals are refused. */
  readonly uncommittedBytesMax: number;
  /** Unacknowledged append requests to one member. */
  readonly inflightMessagesMax: number;
  /** Unacknowledged bytes of entries to one member; the last request may exceed it. */
  readonly inflightBytesMax: number;
  /** Reads that wait for confirmation at a leader; further reads are dropped or refused. */
  readonly pendingReadsMax: number;
}

/** Settings in production. The driver chooses the duration of a tick, e.g. 50 ms. */
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

const NO_DATA = new Uint8Array(0);

/** Options with all defaults filled in. */
export interface ResolvedOptions extends RaftSettings {
  readonly id: MemberId;
  readonly storage: Storage;
  readonly random: () => number;
  readonly appliedIndex: LogIndex;
  readonly foundingData: () => Uint8Array;
}

/** Fills in the defaults and asserts the relations between the settings. */
export function resolveOptions(options: RaftOptions): ResolvedOptions {
  const foundingData = (): Uint8Array => NO_DATA;
  const resolved = { ...RAFT_DEFAULTS, appliedIndex: INDEX_ZERO, foundingData, ...options };
  assert(resolved.id > NO_MEMBER, "a member has an id");
  assert(resolved.heartbeatTicks > 0, "the heartbeat interval is positive");
  // Raft §5.6: a heartbeat must arrive well before the election timeout of the followers.
  assert(
    resolved.electionTicks > resolved.heartbeatTicks,
    "the election timeout is longer than the heartbeat interval",
  );
  assert(resolved.inflightMessagesMax > 0, "the window has room for a request");
  assert(
    resolved.inflightBytesMax >= resolved.messageBytesMax,
    "the window has room for a full request",
  );
  assert(resolved.applyingBytesMax > 0, "the limit of applying bytes is positive");
  assert(resolved.pendingReadsMax > 0, "the limit of pending reads is positive");
  assert(
    resolved.readMode === "quorum" || resolved.checkQuorum,
    "lease reads need the quorum check",
  );
  return resolved;
}
