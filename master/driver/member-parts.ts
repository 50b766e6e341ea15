import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { Membership, PeerMessage, SnapshotRequest } from "../raft/messages.ts";
import type { RaftNode } from "../raft/raft.ts";
import type { DriverLimits, DriverOptions, DriverTiming } from "./driver-options.ts";
import type { MemberStorage } from "./member-storage.ts";
import type { OwnIdentity } from "./peer-greeting.ts";
import { PeerService } from "./peer-service.ts";
import { Peers } from "./peers.ts";
import type { OfferOutcome } from "./snapshot-offers.ts";
import { SnapshotReceiver } from "./snapshot-receiver.ts";
import { SnapshotSender } from "./snapshot-sender.ts";
import type { StateHolder } from "./state-holder.ts";

/** What a member is made of. The functions below make what talks to its peers. */
export interface MemberParts {
  readonly options: DriverOptions;
  readonly timing: DriverTiming;
  readonly limits: DriverLimits;
  readonly own: OwnIdentity;
  readonly storage: MemberStorage;
  readonly holder: StateHolder;
  readonly node: RaftNode;
  /** The membership that the first entry brings. */
  readonly founders: Membership;
}

export function makePeers(parts: MemberParts): Peers {
  const { options, own, storage, timing, limits, node } = parts;
  return new Peers({
    ...options.env,
    own,
    peers: storage.peers,
    members: options.members,
    connect: options.connect,
    timeoutMs: timing.connectTimeoutMs,
    pendingBytesMax: limits.peerPendingBytesMax,
    onDropped: (peer) => node.reportUnreachable(peer),
  });
}

export function makeSender(
  parts: MemberParts,
  hooks: {
    readonly addressOf: (member: MemberId) => string | null;
    readonly onDone: (peer: MemberId, outcome: "delivered" | "failed") => void;
  },
): SnapshotSender {
  const { options, own, storage, holder, timing, limits } = parts;
  return new SnapshotSender({
    ...options.env,
    ...hooks,
    own,
    peers: storage.peers,
    connect: options.connect,
    timeoutMs: timing.connectTimeoutMs,
    machine: () => holder.machine,
    partBytes: limits.snapshotPartBytes,
    stallMs: timing.snapshotStallMs,
  });
}

export function makeReceiver(
  parts: MemberParts,
  hooks: {
    readonly isListening: () => boolean;
    readonly offer: (request: SnapshotRequest) => Promise<OfferOutcome>;
  },
): SnapshotReceiver {
  const { options, own, storage, holder, timing, founders, node } = parts;
  return new SnapshotReceiver({
    ...options.env,
    states: storage.states,
    holder,
    memberId: own.memberId,
    founders,
    stallMs: timing.snapshotStallMs,
    isWanted: (index: LogIndex, leaderTerm) => {
      const { committedIndex, term } = node.status();
      return hooks.isListening() && leaderTerm >= term && index > committedIndex;
    },
    offer: hooks.offer,
  });
}

export function makeService(
  parts: MemberParts,
  hooks: {
    readonly receiver: SnapshotReceiver;
    readonly deliver: (messages: readonly PeerMessage[]) => void;
  },
): PeerService {
  const { options, own, storage, holder, timing, limits } = parts;
  return new PeerService({
    ...options.env,
    ...hooks,
    own,
    register: storage.peers,
    machine: () => holder.machine,
    partBytes: limits.snapshotPartBytes,
    stallMs: timing.snapshotStallMs,
  });
}
