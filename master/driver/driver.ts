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

/** Options of `openDriver`. */
export interface DriverOptions {
  readonly env: Pick<Env, "clock" | "random" | "hasher" | "log" | "metrics">;
  /** The member's data directory: identity, log, the name of the current state store. */
  readonly disk: Disk;
  /**
   * The stores of the state, one of them current. Only the driver opens and removes stores here.
   */
  readonly stores: OrderedStores;
  /** Opens `disk` and `stores`: `openMemberStorage` of master/storage. */
  readonly openStorage: OpenStorage;
  /** Opens the replicated state in `store`. Called again when a snapshot replaces the state. */
  readonly openStateMachine: (store: OrderedStore) => StateMachine;
  /** Opens a new connection to a peer. The driver owns the connection and closes it. */
  readonly connect: Connect;
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  /**
   * Addresses of this member and of other members. For a new cluster the list contains all members,
   * is the same on every member, and is the first membership. After a membership change the log
   * contains the members and their addresses.
   */
  readonly members: readonly MemberAddress[];
  /**
   * Whether a member with an empty data directory waits until it is added to a cluster. If false,
   * it founds a new cluster.
   */
  readonly join?: boolean;
  /**
   * Members that are not founders: the others found a cluster without them. Used only while the
   * data directory is empty.
   */
  readonly foundWithout?: readonly MemberId[];
  readonly timing?: Partial<DriverTiming>;
  readonly limits?: Partial<DriverLimits>;
  /**
   * Called when the member cannot continue and the process should stop: the disk failed
   * (DISK_FAILED), the state is not that of the group (STATE_DIVERGED, STORE_CORRUPT), or a newer
   * version wrote an entry (VERSION_MISMATCH). Called at most once.
   */
  readonly onFatal: (error: AshlarError) => void;
  /** Aborts `openDriver`: after it has read the log, and while it fetches the state from a peer. */
  readonly signal?: AbortSignal | undefined;
}

/** Intervals and timeouts of the driver, in milliseconds. */
export interface DriverTiming {
  /** Interval between two heartbeats of the leader. */
  readonly heartbeatIntervalMs: number;
  /** Shortest election timeout. Each timeout is random, between this and twice this. */
  readonly electionTimeoutMsMin: number;
  /** Timeout of one attempt to connect to a peer, including the handshake. */
  readonly connectTimeoutMs: number;
  /** Stall timeout of a snapshot transfer: it is aborted after this time without progress. */
  readonly snapshotStallMs: number;
  /** Longest time between applying an entry and the flush that stores it. */
  readonly flushIntervalMs: number;
}

/** Bounds of queues, buffers and the log. */
export interface DriverLimits {
  /** Maximum number of pending commands. Further commands fail with OVERLOADED. */
  readonly proposalsMax: number;
  /** Largest total size of pending commands. Further commands fail with OVERLOADED. */
  readonly proposalBytesMax: number;
  /** Applying pauses while more bytes than this are not flushed. */
  readonly unflushedBytesMax: number;
  /** A flush starts when the unflushed changes reach this size. */
  readonly flushBytes: number;
  /**
   * Maximum number of unacknowledged bytes to one peer. Further Raft messages to it are dropped.
   */
  readonly peerPendingBytesMax: number;
  /** Memory of the last log entries, for followers that are a little behind. */
  readonly logCacheBytes: number;
  /** Memory of entries that were read from disk for followers that are far behind. */
  readonly logReadBytes: number;
  /** Size of the log on disk that compaction keeps for members that were away. */
  readonly logKeptBytes: number;
  /** Size at which a new segment file of the log begins. */
  readonly logSegmentBytes: number;
  /** Approximate size of the body of one snapshot part. */
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
  // Frequent flushes reduce the work of the garbage collector: for each created file it copied 4 KB
  // with 4 MiB and 1 KB with 1 MiB.
  flushBytes: 1024 * 1024,
  peerPendingBytesMax: 32 * 1024 * 1024,
  logCacheBytes: 16 * 1024 * 1024,
  logReadBytes: 16 * 1024 * 1024,
  logKeptBytes: 2 * 1024 ** 3,
  logSegmentBytes: 64 * 1024 * 1024,
  snapshotPartBytes: 512 * 1024,
};

/** A running member of the Raft group: its log, its state, its communication with the peers. */
export interface Driver extends Consensus, AsyncDisposable {
  readonly memberId: MemberId;
  /**
   * The current state machine. Read it again after every `await`: a snapshot may have replaced it.
   */
  readonly stateMachine: StateMachine;
  /** Calls `listener` after a snapshot replaced the state. The previous store is closed by then. */
  onStateMachine(listener: (stateMachine: StateMachine) => void): void;
  /**
   * Calls `listener` after the event loop was blocked for `stalledMs`, more than half an election
   * timeout. A failure detector must not mistake this local stall for silence of its peers.
   */
  onStall(listener: (stalledMs: number) => void): void;
  /** Serves the requests of the other members. See `registerRaftHandlers`. */
  readonly service: PeerService;
  /**
   * Transfers leadership if this member leads and a successor is available, and ends the streams of
   * the peers. Resolves within an election timeout. Call it before the server is closed.
   */
  prepareStop(): Promise<void>;
  /**
   * Fails pending proposals with COMMIT_UNKNOWN, flushes the applied entries and closes the disk.
   */
  close(): Promise<void>;
}
