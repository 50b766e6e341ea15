import type { ChunkId, ServerId, SessionId } from "../shared/base/ids.ts";
import type { HeartbeatRequest, Order } from "../shared/protocol/fleet-api.ts";
import type { ServerLocation } from "../shared/protocol/intent.ts";
import type { Candidate } from "./placement/choose-servers.ts";
import type { Liveness } from "./placement/evaluate-health.ts";

/**
 * The leader's soft state as the API sees it. Implemented by `master/fleet`. Only the leader's is
 * meaningful, so handlers check that they run on the leader first.
 */
export interface FleetView {
  /** A chunkserver registered. */
  recordRegistration(location: ServerLocation, space: ServerSpace): void;
  /** @returns false if the server has not registered with this leader: it must do so first. */
  recordHeartbeat(beat: HeartbeatRequest): boolean;
  recordGoodbye(serverId: ServerId): void;
  /** How often chunkservers are to be heard of: several times before one is suspected. */
  readonly heartbeatIntervalMs: number;
  liveness(serverId: ServerId): Liveness;
  /** Milliseconds since it was last heard; null: never by this leader. */
  silentMs(serverId: ServerId): number | null;
  location(serverId: ServerId): ServerLocation | undefined;
  servers(): readonly ServerStatus[];
  /** Servers that may take new chunks: live, with a sound disk and room for one of `chunkBytes`. */
  candidates(chunkBytes: number, exclude: ReadonlySet<ServerId>): Candidate[];
  /** Counts a placement at once, before the next heartbeat tells of it: bursts spread. */
  countPlacement(serverIds: readonly ServerId[]): void;
}

export type ServerSpace = HeartbeatRequest["space"];

/** What the leader knows of one chunkserver from its own ears. */
export interface ServerStatus {
  readonly location: ServerLocation;
  readonly space: ServerSpace;
  /** By its own word: its copies count, and new ones go elsewhere. */
  readonly isDiskFailed: boolean;
  readonly chunkCount: number;
  readonly activeWrites: number;
}

export interface RepairView {
  /** Copies that the server is to make. Repeated with every heartbeat until it reports them. */
  ordersFor(serverId: ServerId): Order[];
  /** The server made the copy (the entry that records it is the caller's) or could not. */
  recordCopyResult(serverId: ServerId, chunkId: ChunkId): void;
  /** Chunks that are known to lack copies, and of these those without a live one. */
  readonly counts: { readonly underReplicated: number; readonly lost: number };
  /** Repair waits, since many servers vanished together. */
  readonly isHalted: boolean;
}

export interface SessionActivity {
  recordActivity(sessionId: SessionId, nowMs: number): void;
}
