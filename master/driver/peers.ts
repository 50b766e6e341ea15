import type { MemberId } from "../../shared/base/ids.ts";
import type { PeerMessage } from "../raft/messages.ts";
import { CommitNotices, isCommitNotice } from "./commit-notices.ts";
import type { MemberAddress } from "./driver-options.ts";
import { PeerLink, type PeerLinkOptions } from "./peer-link.ts";

export interface PeersOptions extends Omit<PeerLinkOptions, "peer"> {
  readonly members: readonly MemberAddress[];
  /** Messages to this peer were dropped. */
  readonly onDropped: (peer: MemberId) => void;
}

/** The links to all other members. */
export class Peers {
  readonly #options: PeersOptions;
  readonly #links = new Map<MemberId, PeerLink>();
  readonly #queued = new Map<MemberId, PeerMessage[]>();
  readonly #notices: CommitNotices;

  constructor(options: PeersOptions) {
    this.#options = options;
    this.#notices = new CommitNotices(options.clock, (notices) => {
      for (const notice of notices) this.#enqueue(notice);
      this.flush();
    });
    for (const peer of options.members) {
      if (peer.id === options.own.memberId) continue;
      this.#links.set(peer.id, new PeerLink({ ...options, peer }));
    }
  }

  addressOf(member: MemberId): string | null {
    return this.#options.members.find((each) => each.id === member)?.address ?? null;
  }

  /** For the next `flush`, or for a little later if it tells nothing that is urgent. */
  queue(message: PeerMessage): void {
    if (isCommitNotice(message)) {
      this.#notices.hold(message);
      return;
    }
    if (message.kind === "append-request") this.#notices.drop(message.to);
    this.#enqueue(message);
  }

  #enqueue(message: PeerMessage): void {
    const queued = this.#queued.get(message.to);
    if (queued === undefined) this.#queued.set(message.to, [message]);
    else queued.push(message);
  }

  /** Sends what is queued, as one batch to each peer. */
  flush(): void {
    for (const [peer, messages] of this.#queued) {
      const isSent = this.#links.get(peer)?.send(messages) ?? false;
      if (!isSent) this.#options.onDropped(peer);
    }
    this.#queued.clear();
  }

  async close(): Promise<void> {
    this.#notices.stop();
    await Promise.all([...this.#links.values()].map((link) => link.close()));
  }
}
