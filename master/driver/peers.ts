import type { MemberId } from "../../shared/base/ids.ts";
import type { PeerMessage } from "../raft/messages.ts";
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

  constructor(options: PeersOptions) {
    this.#options = options;
    for (const peer of options.members) {
      if (peer.id === options.own.memberId) continue;
      this.#links.set(peer.id, new PeerLink({ ...options, peer }));
    }
  }

  addressOf(member: MemberId): string | null {
    return this.#options.members.find((each) => each.id === member)?.address ?? null;
  }

  /** For the next `flush`. */
  queue(message: PeerMessage): void {
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
    await Promise.all([...this.#links.values()].map((link) => link.close()));
  }
}
