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
  readonly #held = new Map<MemberId, PeerMessage>();
  #timer: Timer | null = null;
  #isStopped = false;

  constructor(clock: Clock, send: (notices: readonly PeerMessage[]) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  hold(notice: PeerMessage): void {
    if (this.#isStopped) return;
    this.#held.set(notice.to, notice);
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

  #release(): void {
    this.#timer = null;
    const notices = [...this.#held.values()];
    this.#held.clear();
    if (notices.length > 0) this.#send(notices);
  }
}
