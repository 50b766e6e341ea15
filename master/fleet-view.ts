import type { ChunkId, LogIndex, MemberId, ServerId, SessionId } from "../shared/base/ids.ts";
import type { HeartbeatRequest, Order } from "../shared/protocol/fleet-api.ts";
import type { ServerLocation } from "../shared/protocol/intent.ts";
import type { Liveness } from "./placement/liveness.ts";

/**
 * The leader's soft state of the chunkservers, as the API uses it. Implemented by `master/fleet`.
 * It is valid on the leader only, so handlers first check that they run on the leader.
 */
export interface FleetView {
  /**
   * Starts the observation of a new term. Does nothing if `term` has been started before.
   *
   * @param known returns the recorded servers
   */
  beginTerm(term: number, known: () => readonly ServerLocation[]): void;
  /**
   * The first seconds of a term, until every recorded server has sent a message to this leader, or
   * until those that are silent count as dead. Null afterwards.
   */
  settling(): Settling | null;
  /** Records that a chunkserver has registered. */
  recordRegistration(
    location: ServerLocation,
    space: ServerSpace,
    capabilities?: readonly string[],
  ): void;
  /** Records a heartbeat. @returns false if the server has not registered with this leader yet. */
  recordHeartbeat(heartbeat: HeartbeatRequest): boolean;
  /** Records that a chunkserver is shutting down. */
  recordGoodbye(serverId: ServerId): void;
  /**
   * Records that the messages of a chunkserver are refused, until one is accepted. The caller knows that it
   * is this server: others can state its id.
   */
  recordRefusal(serverId: ServerId): void;
  /** Interval of heartbeats. A server is suspected only after several missing heartbeats. */
  readonly heartbeatIntervalMs: number;
  liveness(serverId: ServerId): Liveness;
  /** Returns whether the copies on the server count as live. */
  isAvailable(serverId: ServerId): boolean;
  /**
   * Returns whether the copies on the server certainly count: it is live, and a heartbeat in this term says that its
   * disk works. The condition for each decision that drops a copy because there are others: a new leader presumes that
   * every recorded server is available.
   */
  hasCertainCopies(serverId: ServerId): boolean;
  /** Forgets a server that was removed from the cluster. */
  remove(serverId: ServerId): void;
  /**
   * Returns the milliseconds since the last message of the server to this leader; null if there was
   * none in this term.
   */
  silentMs(serverId: ServerId): number | null;
  location(serverId: ServerId): ServerLocation | undefined;
  /** Returns all known chunkservers. */
  servers(): readonly ServerStatus[];
  /**
   * Chooses the write chain of one chunk among the live servers without a failed disk and with space.
   * Counts a write on each new server before the next heartbeat reports it, so that bursts are spread.
   *
   * @returns `count` servers, or fewer if there are not enough
   */
  chooseServers(request: ChainRequest): ServerLocation[];
}

/** The requirements of a write chain. */
export interface ChainRequest {
  /** Space that a new server must have. */
  readonly chunkBytes: number;
  /** Length of the chain, including the servers of `keep`. */
  readonly count: number;
  /** Number of racks that the chain must span, if that many exist. */
  readonly racksMin: number;
  /** Servers that are in the chain already. They stay first, in this order. */
  readonly keep: readonly ServerLocation[];
  /** Servers that must not be chosen. */
  readonly exclude: Pick<ReadonlySet<ServerId>, "has">;
  /** Host of the writer. A new server on this host is placed first. Empty: no preference. */
  readonly clientHost: string;
  /** Capabilities that every new server must have (`shared/protocol/capabilities.ts`). */
  readonly requires: readonly string[];
}

/** A term in which not all chunkservers have sent a message yet. */
export interface Settling {
  readonly leaderForMs: number;
  readonly heardCount: number;
}

/** Disk space of a chunkserver, in bytes. */
export type ServerSpace = HeartbeatRequest["space"];

/** The last report of one chunkserver to this leader. */
export interface ServerStatus {
  readonly location: ServerLocation;
  readonly space: ServerSpace;
  /** Whether the server reported a failed disk. Its copies do not count, and it gets no new ones. */
  readonly isDiskFailed: boolean;
  /** Copies that its disk could not read at their last read. */
  readonly unreadableCount: number;
  /** Names that the server stated when it registered with this leader. */
  readonly capabilities: ReadonlySet<string>;
  readonly chunkCount: number;
  /** Writes and copies in progress. */
  readonly activeWrites: number;
}

/** The part of the replicated state that repair reads. */
export interface RepairState {
  readonly appliedIndex: LogIndex;
  chunk(id: ChunkId): RepairChunk | undefined;
  /** Returns chunks with a recorded replica on the server, by ascending id, after `after`. */
  chunksOfServer(serverId: ServerId, after: ChunkId | null, limit: number): readonly ChunkId[];
  /** Returns chunks with fewer recorded replicas than wanted, by ascending id, after `after`. */
  underReplicated(after: ChunkId | null, limit: number): readonly ChunkId[];
  /**
   * Returns chunks whose recorded or wanted replicas have changed, at most `limit`. Each change is
   * returned once. Null if there were too many to keep: changes are lost then.
   */
  takeReplicaChanges(limit: number): ReadonlyMap<ChunkId, RepairChunk> | null;
}

/** A chunk as the namespace records it. */
export interface RepairChunk {
  readonly lengthBytes: number;
  readonly copiesWanted: number;
  readonly replicas: readonly { readonly serverId: ServerId }[];
}

/** Repair of under-replicated chunks, as the API uses it. */
export interface RepairView {
  /** Returns the copies that the server must make, until the server has reported their results. */
  ordersFor(serverId: ServerId): Order[];
  /** Records that a copy succeeded or failed. The caller proposes the entry that adds the copy. */
  recordCopyResult(serverId: ServerId, chunkId: ChunkId): void;
  /**
   * Returns whether a copy that the state does not record must be kept: too few of the recorded copies
   * are on servers where they certainly count. If too few are on live servers, the server gets an order to copy the
   * chunk. It then verifies its copy and reports it under a newer intent, so that an earlier verdict about the
   * copy does not apply.
   */
  adoptCopy(state: RepairState, serverId: ServerId, chunkId: ChunkId): boolean;
  /** Number of chunks with too few copies, and of those without a live copy (`lost`). */
  readonly counts: { readonly underReplicated: number; readonly lost: number };
  /** Whether `counts` contains the chunks of every silent server. */
  readonly isScanComplete: boolean;
  /** Whether repair is halted because many servers are dead at the same time. */
  readonly isHalted: boolean;
}

/** Activity of the client sessions, which expire when they are idle. */
export interface SessionActivity {
  /** Checks that another session may be opened. @throws {AshlarError} OVERLOADED */
  checkRoom(): void;
  /** Records a request of an open session. */
  recordActivity(sessionId: SessionId, nowMs: number): void;
  /** Forgets sessions that were closed or have expired. */
  forget(sessionIds: readonly SessionId[]): void;
}

/** The clock of the leader, for the handlers: see `ClusterClock`. */
export interface ClockView {
  /** How far the clock of each voter is ahead of their median, in milliseconds. Null: unknown. */
  skews(): ReadonlyMap<MemberId, number> | null;
  /** How far the time of the state is ahead of the clocks of the masters. Null: unknown. */
  aheadMs(): number | null;
}
