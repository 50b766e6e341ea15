import { assert } from "../../shared/base/assert.ts";
import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import { indexAfter, indexBefore, maxIndex, minIndex } from "./entries.ts";
import type { InflightLimits } from "./inflights.ts";
import { Inflights } from "./inflights.ts";
import { type EntryPosition, INDEX_ZERO } from "./messages.ts";

/** How a leader replicates its log to one member; the states are those of etcd-io/raft. */
export type ReplicationState =
  /** The matching index is unknown. At most one request is pending, until a request is accepted. */
  | { readonly kind: "probe" }
  /** Requests are pipelined, as far as the window allows. */
  | { readonly kind: "replicate" }
  /** A snapshot is being sent; no entries are sent until it has arrived or failed. */
  | { readonly kind: "snapshot"; readonly pendingIndex: LogIndex };

/** The acknowledgement of a member that shows that its log differs from that of the leader. */
export interface Refused {
  readonly index: LogIndex;
  /** End of the leader's log at that time. */
  readonly last: EntryPosition;
}

/**
 * A leader's view of the log of one member.
 *
 * Invariant: `matchIndex < nextIndex`. The entries between them are assumed to be in flight.
 */
export class Progress {
  /** Whether a message arrived since the last quorum check. Always true for the leader itself. */
  isRecentlyActive: boolean;
  /**
   * Whether no entries are sent until the next heartbeat reply: a probe is pending or the window
   * full.
   */
  isPaused = false;
  readonly inflights: Inflights;
  #state: ReplicationState = { kind: "probe" };
  #refused: Refused | null = null;
  /** Index up to which the member's log matches and is durable: Raft, Figure 2. */
  #matchIndex: LogIndex;
  /** Index of the next entry to send. */
  #nextIndex: LogIndex;
  /** The highest commit index that was sent and is assumed to arrive. */
  #sentCommitIndex: LogIndex = INDEX_ZERO;

  constructor(options: {
    readonly matchIndex: LogIndex;
    readonly nextIndex: LogIndex;
    readonly isRecentlyActive: boolean;
    readonly limits: InflightLimits;
  }) {
    this.#matchIndex = options.matchIndex;
    this.#nextIndex = options.nextIndex;
    this.isRecentlyActive = options.isRecentlyActive;
    this.inflights = new Inflights(options.limits);
    assert(this.#matchIndex < this.#nextIndex, "entries that match are not sent again");
  }

  get state(): ReplicationState {
    return this.#state;
  }

  get matchIndex(): LogIndex {
    return this.#matchIndex;
  }

  get nextIndex(): LogIndex {
    return this.#nextIndex;
  }

  /** Not null if the member has another history. It then receives no entries in this term. */
  get refused(): Refused | null {
    return this.#refused;
  }

  /** Whether no append request may be sent now. */
  get isThrottled(): boolean {
    return this.#state.kind === "snapshot" || this.isPaused || this.#refused !== null;
  }

  /** Ends replication with the member for this term. Its acknowledgements count for no commit. */
  refuse(refused: Refused): void {
    this.#refused = refused;
    this.#matchIndex = INDEX_ZERO;
    this.#enter({ kind: "probe" }, indexAfter(INDEX_ZERO));
  }

  /** Starts probing after the matching index, or after the index of a pending snapshot. */
  becomeProbe(): void {
    const pendingIndex = this.#state.kind === "snapshot" ? this.#state.pendingIndex : INDEX_ZERO;
    this.#enter({ kind: "probe" }, indexAfter(maxIndex(this.#matchIndex, pendingIndex)));
    this.#sentCommitIndex = minIndex(this.#sentCommitIndex, indexBefore(this.#nextIndex));
  }

  /** Starts pipelining after the matching index. */
  becomeReplicate(): void {
    this.#enter({ kind: "replicate" }, indexAfter(this.#matchIndex));
  }

  /** Pauses entries until the snapshot at `pendingIndex` has arrived or failed. */
  becomeSnapshot(pendingIndex: LogIndex): void {
    assert(pendingIndex >= this.#matchIndex, "a snapshot is not before the matching index");
    this.#enter({ kind: "snapshot", pendingIndex }, indexAfter(pendingIndex));
    this.#sentCommitIndex = pendingIndex;
  }

  /** Starts probing after the matching index, because the snapshot did not arrive. */
  snapshotFailed(): void {
    assert(this.#state.kind === "snapshot", "a snapshot is being sent");
    this.#state = { kind: "probe" };
    this.becomeProbe();
  }

  /** Records that `count` entries from `nextIndex` on were sent in one request. */
  sentEntries(count: number, sizeBytes: number): void {
    assert(this.#state.kind !== "snapshot", "no entries are sent during a snapshot");
    if (this.#state.kind === "probe") {
      if (count > 0) this.isPaused = true;
      return;
    }
    if (count > 0) {
      this.#nextIndex = indexAfter(this.#nextIndex, count);
      this.inflights.add(indexBefore(this.#nextIndex), sizeBytes);
    }
    // With a full window an empty request is a probe: its reply shows whether requests were lost.
    this.isPaused = this.inflights.isFull;
  }

  /** Records that the commit index `index` was sent. */
  sentCommit(index: LogIndex): void {
    this.#sentCommitIndex = index;
  }

  /** Returns whether sending `commitIndex` can advance the commit index of the member. */
  canBumpCommit(commitIndex: LogIndex): boolean {
    const lastSentIndex = indexBefore(this.#nextIndex);
    return commitIndex > this.#sentCommitIndex && this.#sentCommitIndex < lastSentIndex;
  }

  /** Records an acknowledgement up to `index`. @returns false if it is not new. */
  acknowledge(index: LogIndex): boolean {
    if (index <= this.#matchIndex) return false;
    this.#matchIndex = index;
    this.#nextIndex = maxIndex(this.#nextIndex, indexAfter(index));
    this.isPaused = false;
    return true;
  }

  /**
   * Records that the member rejected a request whose previous entry is at `rejectedIndex`. The logs
   * may match at `hintIndex`.
   *
   * @returns false if the rejection belongs to an old request; nothing is changed then.
   */
  reject(rejectedIndex: LogIndex, hintIndex: LogIndex): boolean {
    if (this.#state.kind === "replicate") {
      if (rejectedIndex <= this.#matchIndex) return false;
      this.#lowerNext(indexAfter(this.#matchIndex));
      return true;
    }
    // In the probe state at most one request is pending: only the reply to that request counts.
    if (rejectedIndex !== indexBefore(this.#nextIndex)) return false;
    const hinted = minIndex(rejectedIndex, indexAfter(hintIndex));
    this.#lowerNext(maxIndex(hinted, indexAfter(this.#matchIndex)));
    this.isPaused = false;
    return true;
  }

  #lowerNext(nextIndex: LogIndex): void {
    this.#nextIndex = nextIndex;
    this.#sentCommitIndex = minIndex(this.#sentCommitIndex, indexBefore(nextIndex));
    assert(this.#matchIndex < this.#nextIndex, "entries that match are not sent again");
  }

  #enter(state: ReplicationState, nextIndex: LogIndex): void {
    this.isPaused = false;
    this.inflights.clear();
    this.#state = state;
    this.#nextIndex = nextIndex;
    assert(this.#matchIndex < this.#nextIndex, "entries that match are not sent again");
  }
}

/**
 * Removes the progress of members that left and creates that of new members. A new member starts at
 * the end of the log: its first rejection contains a hint about its own log.
 */
export function syncProgress(
  progress: Map<MemberId, Progress>,
  members: readonly MemberId[],
  options: { readonly lastIndex: LogIndex; readonly limits: InflightLimits },
): void {
  for (const id of progress.keys()) if (!members.includes(id)) progress.delete(id);
  for (const id of members) {
    if (progress.has(id)) continue;
    const nextIndex = maxIndex(options.lastIndex, indexAfter(INDEX_ZERO));
    // Active, so that a quorum check before the first reply does not count it as silent.
    const created = { matchIndex: INDEX_ZERO, nextIndex, isRecentlyActive: true };
    progress.set(id, new Progress({ ...created, limits: options.limits }));
  }
}
