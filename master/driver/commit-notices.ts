import type { MemberId } from "../../shared/base/ids.ts";
import type { Clock, Timer } from "../../shared/ports/clock.ts";
import type { PeerMessage } from "../raft/messages.ts";

/** Longest delay of a commit notice, in milliseconds. Bounds how stale a follower's commit index is. */
const HOLD_MS = 4;

/** Returns whether `message` carries a commit index and no entries. */
export function isCommitNotice(message: PeerMessage): boolean {
  return message.kind === "append-request" && message.entries.length === 0;
}

/**
 * Delays append requests without entries, because the next append request with entries carries the
 * commit index too.
 *
 * The core sends such a notice to each follower after every committed entry, and the follower
 * answers it. Under load the notices and their answers are half of all messages, and the next
 * entries make them redundant. Raft tolerates late and lost messages. A newer notice replaces the
 * delayed notice for the same peer.
 */
export class CommitNotices {
  readonly #clock: Clock;
  readonly #send: (notices: readonly PeerMessage[]) => void;
  readonly #held = new Map<MemberId, { readonly notice: PeerMessage; readonly dueMs: number }>();
  #timer: Timer | null = null;
  #isStopped = false;

  /** @param send sends the notices that are due */
  constructor(clock: Clock, send: (notices: readonly PeerMessage[]) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  /** Delays `notice` for at most HOLD_MS. A replacement keeps the due time of the replaced notice. */
  hold(notice: PeerMessage): void {
    if (this.#isStopped) return;
    const dueMs = this.#held.get(notice.to)?.dueMs ?? this.#clock.monotonicMs() + HOLD_MS;
    this.#held.set(notice.to, { notice, dueMs });
    this.#timer ??= this.#clock.after(HOLD_MS, () => this.#sendDue());
  }

  /** Drops the notice for `peer`, because an append request with entries is sent to it. */
  drop(peer: MemberId): void {
    this.#held.delete(peer);
  }

  /** Drops all notices. Later calls of `hold` have no effect. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#timer = null;
    this.#held.clear();
  }

  /** Sends the notices that are due, and sets the timer for the next one. */
  #sendDue(): void {
    this.#timer = null;
    const nowMs = this.#clock.monotonicMs();
    const due: PeerMessage[] = [];
    let nextMs = Number.POSITIVE_INFINITY;
    for (const { notice, dueMs } of this.#held.values()) {
      if (dueMs <= nowMs) due.push(notice);
      else nextMs = Math.min(nextMs, dueMs);
    }
    for (const { to } of due) this.#held.delete(to);
    if (this.#held.size > 0) {
      this.#timer = this.#clock.after(nextMs - nowMs, () => this.#sendDue());
    }
    if (due.length > 0) this.#send(due);
  }
}
