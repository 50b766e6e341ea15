import type { MemberId } from "../../shared/base/ids.ts";
import type { Clock, Timer } from "../../shared/ports/clock.ts";
import type { PeerMessage } from "../raft/messages.ts";

/** How long followers may lag behind in what they know to be committed. */
const HELD_MS = 4;

/** Whether a message only tells a follower what is committed. */
export function isCommitNotice(message: PeerMessage): boolean {
  return message.kind === "append-request" && message.entries.length === 0;
}

/**
 * Holds back what only tells how far the log is committed: the next entries tell it too.
 *
 * Every committed entry is followed by such a notice to each follower, which answers it. Where
 * entries follow one another closely that is half of all messages, and none of them is needed. Raft
 * allows any message to be late or lost; one that is newer takes the place of one that is held.
 */
export class CommitNotices {
  readonly #clock: Clock;
  readonly #send: (notices: readonly PeerMessage[]) => void;
  readonly #held = new Map<MemberId, { readonly notice: PeerMessage; readonly dueMs: number }>();
  #timer: Timer | null = null;
  #isStopped = false;

  constructor(clock: Clock, send: (notices: readonly PeerMessage[]) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  hold(notice: PeerMessage): void {
    if (this.#isStopped) return;
    const dueMs = this.#held.get(notice.to)?.dueMs ?? this.#clock.monotonicMs() + HELD_MS;
    this.#held.set(notice.to, { notice, dueMs });
    this.#timer ??= this.#clock.after(HELD_MS, () => this.#release());
  }

  /** Entries are sent to `peer`: they tell what a notice that is held tells, and more. */
  drop(peer: MemberId): void {
    this.#held.delete(peer);
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#timer = null;
    this.#held.clear();
  }

  /** Sends what is due. What is held since the timer was set has its time too. */
  #release(): void {
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
      this.#timer = this.#clock.after(nextMs - nowMs, () => this.#release());
    }
    if (due.length > 0) this.#send(due);
  }
}
