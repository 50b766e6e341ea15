import type { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { MemberAddress } from "../consensus.ts";
import type { Membership, PeerMessage, SnapshotRequest } from "../raft/messages.ts";
import type { RaftNode } from "../raft/raft.ts";
import type { DriverLimits, DriverOptions, DriverTiming } from "./driver.ts";
import type { Founding } from "./founding.ts";
import type { LoadedEntries } from "./loaded-entries.ts";
import { LogCompaction, type LogCompactionOptions } from "./log-compaction.ts";
import type { MemberStorage } from "./member-storage.ts";
import { MembershipChanger, type MembershipChangerOptions } from "./membership-changer.ts";
import type { MembershipState } from "./membership-state.ts";
import { identifyPeer, type OwnIdentity } from "./peer-handshake.ts";
import { PeerService } from "./peer-service.ts";
import { Peers, type PeersOptions } from "./peers.ts";
import { RefusedMessages, type RefusedMessagesOptions } from "./refused-messages.ts";
import type { OfferOutcome } from "./snapshot-offers.ts";
import { SnapshotReceiver } from "./snapshot-receiver.ts";
import { SnapshotSender } from "./snapshot-sender.ts";
import type { StateHolder } from "./state-holder.ts";

/** The smallest ranges in which a receiver keeps a partial snapshot: an eighth of a part. */
const RANGES_PER_PART = 8;

/**
 * Dependencies of a Member: its options, its open storage and the Raft core. The functions in this
 * file make the components of a Member that communicate with the peers.
 */
export interface MemberDeps {
  readonly options: DriverOptions;
  readonly timing: DriverTiming;
  readonly limits: DriverLimits;
  /** The identity of this member. */
  readonly own: OwnIdentity;
  readonly storage: MemberStorage;
  readonly holder: StateHolder;
  readonly loaded: LoadedEntries;
  readonly node: RaftNode;
  /** The membership before the first entry, from the configs. Stored with the first entry. */
  readonly founders: Membership;
  readonly founding: Founding;
  readonly membershipState: MembershipState;
}

/** Makes the links to the peers, and connects to the current peers. */
export function makePeers(deps: MemberDeps, callbacks: Pick<PeersOptions, "onConnected">): Peers {
  const { options, own, storage, timing, limits, node, membershipState, founding } = deps;
  const peers = new Peers({
    ...options.env,
    ...callbacks,
    own,
    founding,
    incarnations: storage.incarnations,
    connect: options.connect,
    timeoutMs: timing.connectTimeoutMs,
    pendingBytesMax: limits.peerPendingBytesMax,
    onDropped: (peer) => node.reportUnreachable(peer),
    onHandshake: ({ isMember, appliedIndex, members }) =>
      membershipState.notePeerReport({ isMember, appliedIndex, members }),
  });
  founding.onPoke(() => peers.poke());
  peers.setPeers(membershipState.peers);
  return peers;
}

/** Makes the component that handles refused messages. */
export function makeRefused(
  { options, node }: MemberDeps,
  callbacks: Pick<RefusedMessagesOptions, "onLogLost" | "onContradiction">,
): RefusedMessages {
  return new RefusedMessages({ ...options.env, node, ...callbacks });
}

/** Stops the process of this member, which has halted. */
export async function stopNow({ options }: MemberDeps, error: AshlarError): Promise<void> {
  options.onFatal(error);
}

/**
 * Records that this member, which has halted, has lost entries that it had acknowledged. Then its process stops,
 * also if the record fails.
 */
export async function stopWithoutEntries(
  { options, storage }: MemberDeps,
  error: AshlarError,
): Promise<void> {
  try {
    await storage.recordLostLog(error.message);
  } catch (cause) {
    options.env.log.error(
      "Cannot record that this member has lost entries: do not start it again",
      { error: cause },
    );
  }
  options.onFatal(error);
}

/** Makes the component that carries out membership changes and leadership transfers. */
export function makeMembershipChanger(
  deps: MemberDeps,
  callbacks: Pick<
    MembershipChangerOptions,
    "proposals" | "refused" | "wake" | "haltReason" | "isReady" | "appliedIndex"
  >,
): MembershipChanger {
  const { options, own, timing, node, membershipState } = deps;
  const { connect, signal = new AbortController().signal } = options;
  const timeoutMs = timing.connectTimeoutMs;
  return new MembershipChanger({
    ...options.env,
    ...timing,
    ...callbacks,
    node,
    membershipState,
    identify: (peer) => identifyPeer({ own, peer, connect, timeoutMs, signal }),
  });
}

/** Makes the component that drops log entries which are not needed. */
export function makeCompaction(
  { options, storage, holder }: MemberDeps,
  others: Pick<LogCompactionOptions, "isRunning" | "onFailure"> & {
    readonly sender: SnapshotSender;
  },
): LogCompaction {
  const durableIndex = (): LogIndex => holder.machine.durable.index;
  const { log } = options.env;
  const { sender, ...callbacks } = others;
  return new LogCompaction({
    ...callbacks,
    log,
    raftLog: storage.log,
    durableIndex,
    sendingIndex: () => sender.oldestIndex,
    onHeldTooLong: (index) => sender.abandonBefore(index),
  });
}

/** Forwards the results of reads of the log: success to the core, failure to the compaction. */
export function listenToLoads(
  { loaded, node }: MemberDeps,
  callbacks: {
    readonly isRunning: () => boolean;
    readonly wake: () => void;
    readonly compaction: LogCompaction;
  },
): void {
  const { isRunning, wake, compaction } = callbacks;
  loaded.listen({
    onLoaded: () => {
      if (!isRunning()) return;
      node.entriesLoaded();
      wake();
    },
    onFailure: (first, error) => compaction.onUnreadable(first, error),
  });
}

/** Makes the component that sends snapshots to followers. */
export function makeSender(
  deps: MemberDeps,
  callbacks: {
    /** Called when a transfer has ended. */
    readonly onDone: (peer: MemberId, outcome: "delivered" | "failed") => void;
    readonly onDamage: (error: AshlarError) => void;
  },
): SnapshotSender {
  const { options, own, storage, holder, timing, limits, membershipState } = deps;
  return new SnapshotSender({
    ...options.env,
    ...callbacks,
    own,
    incarnations: storage.incarnations,
    addressOf: (member) => membershipState.addressOf(member),
    connect: options.connect,
    timeoutMs: timing.connectTimeoutMs,
    machine: () => holder.machine,
    partBytes: limits.snapshotPartBytes,
    stallMs: timing.snapshotStallMs,
  });
}

/** Makes the component that receives snapshots from the leader. */
export function makeReceiver(
  deps: MemberDeps,
  callbacks: {
    /** Returns whether this member still accepts snapshots: false after it halted. */
    readonly isRunning: () => boolean;
    readonly offer: (request: SnapshotRequest) => Promise<OfferOutcome>;
  },
): SnapshotReceiver {
  const { options, own, storage, holder, timing, limits, founders, node } = deps;
  return new SnapshotReceiver({
    ...options.env,
    states: storage.states,
    holder,
    memberId: own.memberId,
    founders,
    rangeBytesMin: Math.ceil(limits.snapshotPartBytes / RANGES_PER_PART),
    stallMs: timing.snapshotStallMs,
    isNeeded: (index: LogIndex) => callbacks.isRunning() && index > node.status().committedIndex,
    isCurrent: (leaderTerm) => leaderTerm >= node.status().term,
    offer: callbacks.offer,
  });
}

/** Makes the service that answers the requests of peers. */
export function makeService(
  deps: MemberDeps,
  callbacks: {
    readonly receiver: SnapshotReceiver;
    readonly deliver: (messages: readonly PeerMessage[]) => void;
    readonly onPeerAddress: (peer: MemberAddress) => void;
    readonly onDamage: (error: AshlarError) => void;
  },
): PeerService {
  const { options, own, storage, holder, timing, limits, membershipState } = deps;
  const { founders, founding } = deps;
  return new PeerService({
    ...options.env,
    ...callbacks,
    own,
    founding,
    incarnations: storage.incarnations,
    membershipState,
    isFounding: () => founders.voters.length > 0 && holder.machine.appliedIndex === 0,
    machine: () => holder.machine,
    partBytes: limits.snapshotPartBytes,
    stallMs: timing.snapshotStallMs,
  });
}
