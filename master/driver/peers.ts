import type { MemberId } from "../../shared/base/ids.ts";
import type { MemberAddress } from "../consensus.ts";
import type { PeerMessage } from "../raft/messages.ts";
import { CommitNotices, isCommitNotice } from "./commit-notices.ts";
import { PeerLink, type PeerLinkOptions } from "./peer-link.ts";

/** Dependencies and settings of Peers. */
export interface PeersOptions extends Omit<PeerLinkOptions, "peer"> {
  /** Called when messages to this peer were dropped. */
  readonly onDropped: (peer: MemberId) => void;
}

interface OpenLink {
  readonly address: string;
  readonly link: PeerLink;
}

/** The links to the other members, and the queues of messages to them. */
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

  /** Keeps a link to each of `peers` and closes all other links. A new address replaces the link. */
  setPeers(peers: readonly MemberAddress[]): void {
    for (const id of this.#links.keys()) {
      if (!peers.some((peer) => peer.id === id)) this.#close(id);
    }
    for (const { id, address } of peers) {
      if (this.#links.get(id)?.address === address) continue;
      this.#close(id);
      this.#open({ id, address });
    }
  }

  /**
   * Opens a link to a peer that sends messages and is not in the applied membership. It may already be
   * a member by an entry that this member lacks, and this member may need to answer it, for example
   * with its vote, before that entry can be committed.
   */
  notePeer(peer: MemberAddress): void {
    if (!this.#links.has(peer.id)) this.#open(peer);
  }

  /** Queues `message` for the next `flush`. A commit notice is delayed: see CommitNotices. */
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

  /** Makes all links attempt to connect now. */
  poke(): void {
    for (const { link } of this.#links.values()) link.poke();
  }

  /** Sends the queued messages, as one batch to each peer. */
  flush(): void {
    for (const [peer, messages] of this.#queued) {
      const isSent = this.#links.get(peer)?.link.send(messages) ?? false;
      if (!isSent) this.#options.onDropped(peer);
    }
    this.#queued.clear();
  }

  /** Resolves when all links are closed. No link is opened after that. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#notices.stop();
    for (const id of this.#links.keys()) this.#close(id);
    await Promise.all(this.#closing);
  }

  #open(peer: MemberAddress): void {
    const isOther = peer.id !== this.#options.own.memberId && peer.address !== "";
    if (this.#isClosed || !isOther) return;
    const link = new PeerLink({ ...this.#options, peer });
    this.#links.set(peer.id, { address: peer.address, link });
  }

  #close(id: MemberId): void {
    const open = this.#links.get(id);
    if (open === undefined) return;
    this.#links.delete(id);
    const closing = open.link.close().then(() => {
      this.#closing.delete(closing);
    });
    this.#closing.add(closing);
  }
}
