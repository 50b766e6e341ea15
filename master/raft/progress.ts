import { assert } from "../../shared/base/assert.ts";
import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import { indexAfter, indexBefore, maxIndex, minIndex } from "./entries.ts";
import type { InflightLimits } from "./inflights.ts";
import { Inflights } from "./inflights.ts";
import { INDEX_ZERO } from "./messages.ts";

/** How a leader sends its log to one member. */
export type ReplicationState =
  /** It does not know where the logs part: one request at a time, until one is accepted. */
  | { readonly kind: "probe" }
  /** It sends ahead, as far as the window allows. */
  | { readonly kind: "replicate" }
  /** A snapshot is on its way; no entries until it has arrived or failed. */
  | { readonly kind: "snapshot"; readonly pendingIndex: LogIndex };

/**
 * What a leader knows of one member's log.
 *
 * Invariant: `matchIndex < nextIndex`. The entries between them are under way, or believed to be.
 */
export class Progress {
  /** The member was heard of since quorums were last checked. Always true for the leader itself. */
  isRecentlyActive: boolean;
  /** No entries until a heartbeat is answered: a probe is under way, or the window is full. */
  isPaused = false;
  readonly inflights: Inflights;
  #state: ReplicationState = { kind: "probe" };
  /** The member's log is known to match, and to be durable, up to here: Raft, Figure 2. */
  #matchIndex: LogIndex;
  /** The next entry to send. */
  #nextIndex: LogIndex;
  /** The highest commit index that was sent and should arrive. */
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
    assert(this.#matchIndex < this.#nextIndex, "what matches is not sent again");
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

  /** Whether append requests are held back. */
  get isThrottled(): boolean {
    return this.#state.kind === "snapshot" || this.isPaused;
  }

  /** Starts anew behind what matches, or behind the snapshot that should have arrived. */
  becomeProbe(): void {
    const pendingIndex = this.#state.kind === "snapshot" ? this.#state.pendingIndex : INDEX_ZERO;
    this.#enter({ kind: "probe" }, indexAfter(maxIndex(this.#matchIndex, pendingIndex)));
    this.#sentCommitIndex = minIndex(this.#sentCommitIndex, indexBefore(this.#nextIndex));
  }

  becomeReplicate(): void {
    this.#enter({ kind: "replicate" }, indexAfter(this.#matchIndex));
  }

  becomeSnapshot(pendingIndex: LogIndex): void {
    assert(pendingIndex >= this.#matchIndex, "a snapshot brings the member forward");
    this.#enter({ kind: "snapshot", pendingIndex }, indexAfter(pendingIndex));
    this.#sentCommitIndex = pendingIndex;
  }

  /** The snapshot did not arrive: starts anew behind what matches. */
  snapshotFailed(): void {
    assert(this.#state.kind === "snapshot", "a snapshot was under way");
    this.#state = { kind: "probe" };
    this.becomeProbe();
  }

  /** `count` entries from `nextIndex` on were sent in one request. */
  sentEntries(count: number, sizeBytes: number): void {
    assert(this.#state.kind !== "snapshot", "no entries are sent beside a snapshot");
    if (this.#state.kind === "probe") {
      if (count > 0) this.isPaused = true;
      return;
    }
    if (count > 0) {
      this.#nextIndex = indexAfter(this.#nextIndex, count);
      this.inflights.add(indexBefore(this.#nextIndex), sizeBytes);
    }
    // In a full window an empty request is a probe: it finds out whether the others were lost.
    this.isPaused = this.inflights.isFull;
  }

  sentCommit(index: LogIndex): void {
    this.#sentCommitIndex = index;
  }

  /** Whether telling the member of `commitIndex` can bring its own forward. */
  canBumpCommit(commitIndex: LogIndex): boolean {
    const lastSentIndex = indexBefore(this.#nextIndex);
    return commitIndex > this.#sentCommitIndex && this.#sentCommitIndex < lastSentIndex;
  }

  /** The member acknowledged `index`. @returns false if that was known. */
  acknowledge(index: LogIndex): boolean {
    if (index <= this.#matchIndex) return false;
    this.#matchIndex = index;
    this.#nextIndex = maxIndex(this.#nextIndex, indexAfter(index));
    this.isPaused = false;
    return true;
  }

  /**
   * The member rejected a request for a log that matches at `rejectedIndex`; it may match at
   * `hintIndex`. @returns false if the rejection answers an old request: nothing was changed.
   */
  reject(rejectedIndex: LogIndex, hintIndex: LogIndex): boolean {
    if (this.#state.kind === "replicate") {
      if (rejectedIndex <= this.#matchIndex) return false;
      this.#lowerNext(indexAfter(this.#matchIndex));
      return true;
    }
    // A member that is probed gets one request at a time: only its answer counts.
    if (rejectedIndex !== indexBefore(this.#nextIndex)) return false;
    const hinted = minIndex(rejectedIndex, indexAfter(hintIndex));
    this.#lowerNext(maxIndex(hinted, indexAfter(this.#matchIndex)));
    this.isPaused = false;
    return true;
  }

  #lowerNext(nextIndex: LogIndex): void {
    this.#nextIndex = nextIndex;
    this.#sentCommitIndex = minIndex(this.#sentCommitIndex, indexBefore(nextIndex));
    assert(this.#matchIndex < this.#nextIndex, "what matches is not sent again");
  }

  #enter(state: ReplicationState, nextIndex: LogIndex): void {
    this.isPaused = false;
    this.inflights.clear();
    this.#state = state;
    this.#nextIndex = nextIndex;
    assert(this.#matchIndex < this.#nextIndex, "what matches is not sent again");
  }
}

/**
 * Forgets who left and begins with who came, at the end of the log: a first rejected request tells
 * where the new member stands.
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
    // Active, or a quorum check could find it silent before it had a chance to speak.
    const created = { matchIndex: INDEX_ZERO, nextIndex, isRecentlyActive: true };
    progress.set(id, new Progress({ ...created, limits: options.limits }));
  }
}
