import type { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { MemberAddress } from "../consensus.ts";
import type { Membership, PeerMessage, SnapshotRequest } from "../raft/messages.ts";
import type { RaftNode } from "../raft/raft.ts";
import type { DriverLimits, DriverOptions, DriverTiming } from "./driver.ts";
import type { MemberStorage } from "./member-storage.ts";
import { MemberChanges, type MemberChangesOptions } from "./membership-changer.ts";
import type { Group } from "./membership-state.ts";
import { identifyPeer, type OwnIdentity } from "./peer-handshake.ts";
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
  /** The membership before any entry, by the founders' configs. It is stored with the first entry. */
  readonly founders: Membership;
  readonly group: Group;
}

export function makePeers(parts: MemberParts): Peers {
  const { options, own, storage, timing, limits, node, group } = parts;
  const peers = new Peers({
    ...options.env,
    own,
    peers: storage.peers,
    connect: options.connect,
    timeoutMs: timing.connectTimeoutMs,
    pendingBytesMax: limits.peerPendingBytesMax,
    onDropped: (peer) => node.reportUnreachable(peer),
    onGreeted: ({ isMember, appliedIndex, members }) =>
      group.heard({ isMember, appliedIndex, members }),
  });
  peers.follow(group.peers);
  return peers;
}

export function makeChanges(
  parts: MemberParts,
  hooks: Pick<MemberChangesOptions, "proposals" | "wake" | "halted" | "isReady" | "stateIndex">,
): MemberChanges {
  const { options, own, timing, node, group } = parts;
  const { connect, signal = new AbortController().signal } = options;
  const timeoutMs = timing.connectTimeoutMs;
  return new MemberChanges({
    ...options.env,
    ...timing,
    ...hooks,
    node,
    group,
    identify: (peer) => identifyPeer({ own, peer, connect, timeoutMs, signal }),
  });
}

export function makeSender(
  parts: MemberParts,
  hooks: {
    readonly onDone: (peer: MemberId, outcome: "delivered" | "failed") => void;
    readonly onDamage: (error: AshlarError) => void;
  },
): SnapshotSender {
  const { options, own, storage, holder, timing, limits, group } = parts;
  return new SnapshotSender({
    ...options.env,
    ...hooks,
    own,
    peers: storage.peers,
    addressOf: (member) => group.addressOf(member),
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
    readonly onMet: (peer: MemberAddress) => void;
    readonly onDamage: (error: AshlarError) => void;
  },
): PeerService {
  const { options, own, storage, holder, timing, limits, group, founders } = parts;
  return new PeerService({
    ...options.env,
    ...hooks,
    own,
    register: storage.peers,
    group,
    isFounding: () => founders.voters.length > 0 && holder.machine.appliedIndex === 0,
    machine: () => holder.machine,
    partBytes: limits.snapshotPartBytes,
    stallMs: timing.snapshotStallMs,
  });
}
