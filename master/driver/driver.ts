import type { AshlarError } from "../../shared/base/errors.ts";
import type { ClusterId, MemberId } from "../../shared/base/ids.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import type { Env } from "../../shared/ports/env.ts";
import type { OrderedStore, OrderedStores } from "../../shared/ports/ordered-store.ts";
import type { Consensus, MemberAddress } from "../consensus.ts";
import type { StateMachine } from "../state-machine.ts";
import type { OpenStorage } from "./member-storage.ts";
import type { Connect } from "./peer-handshake.ts";
import type { PeerService } from "./peer-service.ts";

export interface DriverOptions {
  readonly env: Pick<Env, "clock" | "random" | "hasher" | "log" | "metrics">;
  /** The member's own data directory: identity, log, the pointer to the current state. */
  readonly disk: Disk;
  /** Where the states live, one of them current. No one else opens or removes stores there. */
  readonly stores: OrderedStores;
  /** `openMemberStorage` of master/storage: opens the two above. */
  readonly openStorage: OpenStorage;
  /** The replicated state over `store`. Called again whenever a snapshot replaces the state. */
  readonly openStateMachine: (store: OrderedStore) => StateMachine;
  /** A new connection to a peer, used by the driver alone and closed by it. */
  readonly connect: Connect;
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  /**
   * This member and others: of a new cluster all of them, the same list on every one. It founds the
   * cluster; once the membership has changed the log says who the members are and where they listen.
   */
  readonly members: readonly MemberAddress[];
  /** A new directory founds nothing, and waits until the member is added to a cluster. */
  readonly join?: boolean;
  readonly timing?: Partial<DriverTiming>;
  readonly limits?: Partial<DriverLimits>;
  /**
   * The member cannot go on: the process should stop. Its disk failed (DISK_FAILED), its state is not
   * the group's (STATE_DIVERGED, STORE_CORRUPT), or an entry is of a newer version (VERSION_MISMATCH).
   * Called at most once.
   */
  readonly onFatal: (error: AshlarError) => void;
  /** Ends an opening that waits for a peer's state. */
  readonly signal?: AbortSignal;
}

export interface DriverTiming {
  /** How often the leader makes itself heard. */
  readonly heartbeatIntervalMs: number;
  /** Members wait for a leader between this and twice this before an election. */
  readonly electionTimeoutMsMin: number;
  /** An attempt to reach a peer. */
  readonly connectTimeoutMs: number;
  /** A snapshot that makes no progress for so long is given up; it is tried again later. */
  readonly snapshotStallMs: number;
  /** Changes that are applied wait at most so long for the store. */
  readonly flushIntervalMs: number;
}

export interface DriverLimits {
  /** Commands under way; the next one is refused with OVERLOADED. */
  readonly proposalsMax: number;
  /** Bytes of commands under way; the next one is refused with OVERLOADED. */
  readonly proposalBytesMax: number;
  /** Applying pauses while the store lags behind by more. */
  readonly unflushedBytesMax: number;
  /** Changes are written to the store once so many bytes have gathered. */
  readonly flushBytes: number;
  /** Bytes sent to one peer and not yet taken by it; further Raft messages to it are dropped. */
  readonly peerPendingBytesMax: number;
  /** Entries that stay in the log behind the durable state, for followers that are slow. */
  readonly logTailEntries: number;
  /** … but not more bytes than that. */
  readonly logTailBytes: number;
  readonly logSegmentBytes: number;
  /** Body of one part of a snapshot. */
  readonly snapshotPartBytes: number;
}

export const DEFAULT_TIMING: DriverTiming = {
  heartbeatIntervalMs: 100,
  electionTimeoutMsMin: 500,
  connectTimeoutMs: 2_000,
  snapshotStallMs: 30_000,
  flushIntervalMs: 1_000,
};

export const DEFAULT_LIMITS: DriverLimits = {
  proposalsMax: 4_096,
  proposalBytesMax: 64 * 1024 * 1024,
  unflushedBytesMax: 32 * 1024 * 1024,
  // What is flushed soon dies young: at 4 MiB the collector copied 4 KB of each create, at 1 MiB 1 KB.
  flushBytes: 1024 * 1024,
  peerPendingBytesMax: 32 * 1024 * 1024,
  logTailEntries: 10_000,
  logTailBytes: 16 * 1024 * 1024,
  logSegmentBytes: 64 * 1024 * 1024,
  snapshotPartBytes: 512 * 1024,
};

/** A member of the Raft group: its log, its state, its talk with the others. */
export interface Driver extends Consensus, AsyncDisposable {
  readonly memberId: MemberId;
  /** The current state. Ask again after every wait: a snapshot may have replaced it. */
  readonly stateMachine: StateMachine;
  /** A snapshot replaced the state; the one before is closed. */
  onStateMachine(listener: (stateMachine: StateMachine) => void): void;
  /**
   * The event loop stood still for `stalledMs`, more than half an election timeout: whoever judges
   * peers by their silence must not take the own silence for theirs.
   */
  onStall(listener: (stalledMs: number) => void): void;
  /** Answers to the other members; see `registerRaftHandlers`. */
  readonly service: PeerService;
  /**
   * Hands leadership over, if this member leads and another can take over, and ends the streams of
   * the peers. Resolves after an election timeout at the latest. Before the server is closed.
   */
  prepareStop(): Promise<void>;
  /** Stops: what is proposed fails with COMMIT_UNKNOWN; then writes what is applied and closes. */
  close(): Promise<void>;
}
