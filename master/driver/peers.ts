import type { MemberId } from "../../shared/base/ids.ts";
import type { MemberAddress } from "../consensus.ts";
import type { PeerMessage } from "../raft/messages.ts";
import { CommitNotices, isCommitNotice } from "./commit-notices.ts";
import { PeerLink, type PeerLinkOptions } from "./peer-link.ts";

export interface PeersOptions extends Omit<PeerLinkOptions, "peer"> {
  /** Messages to this peer were dropped. */
  readonly onDropped: (peer: MemberId) => void;
}

interface OpenLink {
  readonly address: string;
  readonly link: PeerLink;
}

/** The links to all other members. */
export class Peers {
  readonly #options: PeersOptions;
  readonly #links = new Map<MemberId, OpenLink>();
  readonly #queued = new Map<MemberId, PeerMessage[]>();
  readonly #notices: CommitNotices;
  readonly #closing = new Set<Promise<void>>();
  #isClosed = false;

  constructor(options: PeersOptions) {
    this.#options = options;
    this.#notices = new CommitNotices(options.clock, (notices) => {
      for (const notice of notices) this.#enqueue(notice);
      this.flush();
    });
  }

  /** From now on these are the peers: a link to each, and to nobody else. */
  setPeers(peers: readonly MemberAddress[]): void {
    for (const id of this.#links.keys()) {
      if (!peers.some((peer) => peer.id === id)) this.#drop(id);
    }
    for (const { id, address } of peers) {
      if (this.#links.get(id)?.address === address) continue;
      this.#drop(id);
      this.#open({ id, address });
    }
  }

  /**
   * Someone speaks whom the log has not told us of yet. It may be a member already: what it asks for
   * may be needed for the log to go on, so it is answered.
   */
  notePeer(peer: MemberAddress): void {
    if (!this.#links.has(peer.id)) this.#open(peer);
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
      const isSent = this.#links.get(peer)?.link.send(messages) ?? false;
      if (!isSent) this.#options.onDropped(peer);
    }
    this.#queued.clear();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#notices.stop();
    for (const id of this.#links.keys()) this.#drop(id);
    await Promise.all(this.#closing);
  }

  #open(peer: MemberAddress): void {
    const isOther = peer.id !== this.#options.own.memberId && peer.address !== "";
    if (this.#isClosed || !isOther) return;
    const link = new PeerLink({ ...this.#options, peer });
    this.#links.set(peer.id, { address: peer.address, link });
  }

  #drop(id: MemberId): void {
    const way = this.#links.get(id);
    if (way === undefined) return;
    this.#links.delete(id);
    const closing = way.link.close().then(() => {
      this.#closing.delete(closing);
    });
    this.#closing.add(closing);
  }
}
