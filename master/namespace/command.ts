import type { ErrorCode } from "../../shared/base/errors.ts";
import type {
  ChunkId,
  ClusterId,
  InodeId,
  LogIndex,
  ServerId,
  SessionId,
} from "../../shared/base/ids.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import type {
  Attempt,
  Operation,
  OperationOf,
  Precondition,
  StorageClass,
} from "../../shared/protocol/namespace-api.ts";

/**
 * A change of the state, as it stands in the Raft log.
 *
 * A command carries every value that replicas could decide differently: the leader's time, and
 * facts that the leader has verified. Applying one needs nothing but the state before it.
 */
export type Command =
  | Bootstrap
  | Transact
  | OpenSession
  | KeepSession
  | CloseSession
  | ExpireSessions
  | DefineStorageClass
  | RegisterServer
  | AddReplicas
  | DropReplicas
  | FinishPurges
  | RaiseIntentFloor
  | Reclaim
  | Checkpoint
  | RaiseFeatureLevel;

/** What the members of a cluster share for ever. Tunable later by commands of their own. */
export interface ClusterFacts {
  readonly clusterId: ClusterId;
  /** Key of intents and receipts, 32 bytes. */
  readonly chunkKey: Uint8Array;
  readonly createdMs: number;
  /** Name of the class of the root directory. */
  readonly defaultStorageClass: string;
  /** Largest file that lives in its inode; 0 to INLINE_BYTES_MAX. */
  readonly inlineBytesMax: number;
  /** Old versions, removed files and their chunks are kept so long, at least. */
  readonly historyRetentionMs: number;
  /** What the change feed may take on disk; absent: FEED_BYTES_MAX. */
  readonly feedBytesMax?: number;
  /** A writer should have committed within so long after it was given an intent. */
  readonly intentLifetimeMs: number;
  /** A session that is silent for longer may be expired. */
  readonly sessionIdleMsMax: number;
}

/** The first command of a cluster: makes its facts, its default storage class and the root. */
export interface Bootstrap {
  readonly kind: "bootstrap";
  readonly nowMs: number;
  readonly clusterId: ClusterId;
  readonly chunkKey: Uint8Array;
  readonly defaultClass: StorageClass;
  readonly inlineBytesMax: number;
  readonly historyRetentionMs: number;
  readonly feedBytesMax?: number;
  readonly intentLifetimeMs: number;
  readonly sessionIdleMsMax: number;
}

/** A mutation of a client: all of its operations or none, if all preconditions hold. */
export interface Transact {
  readonly kind: "transact";
  readonly nowMs: number;
  readonly attempt: Attempt;
  readonly preconditions: readonly Precondition[];
  readonly operations: readonly NamespaceOperation[];
}

/** A chunk that a commit names. The leader has checked the receipt of every replica. */
export interface VerifiedChunk {
  readonly id: ChunkId;
  readonly lengthBytes: number;
  /** The intent under which it was written; 0 without replicas. */
  readonly intentIndex: LogIndex;
  /** Servers that sealed it. Empty: a reference to a chunk that the state knows. */
  readonly replicas: readonly ServerId[];
}

export type VerifiedContent =
  | { readonly kind: "inline"; readonly bytes: Uint8Array }
  | {
      readonly kind: "chunks";
      readonly sizeBytes: number;
      readonly chunkSizeBytes: number;
      readonly chunks: readonly VerifiedChunk[];
    };

export interface ChunkChange {
  readonly position: number;
  /** What is there now, or null for a position beyond the end. */
  readonly expected: ChunkId | null;
  readonly chunk: VerifiedChunk;
}

export type PutOperation = Omit<OperationOf<"put">, "content"> & {
  readonly content: VerifiedContent;
};
export type CommitChunksOperation = Omit<OperationOf<"commit-chunks">, "changes"> & {
  readonly changes: readonly ChunkChange[];
};

/** `Operation` of the protocol, with verified replicas in the place of receipts. */
export type NamespaceOperation =
  | Exclude<Operation, { kind: "put" | "commit-chunks" }>
  | PutOperation
  | CommitChunksOperation;

/** The new session's id is the index of this entry. */
export interface OpenSession {
  readonly kind: "open-session";
  readonly nowMs: number;
  readonly clientName: string;
}

/** Refused with SESSION_EXPIRED if the session is not there. */
export interface KeepSession {
  readonly kind: "keep-session";
  readonly nowMs: number;
  readonly sessionId: SessionId;
}

/** Closing a session that is not there is no error. */
export interface CloseSession {
  readonly kind: "close-session";
  readonly nowMs: number;
  readonly sessionId: SessionId;
}

/** Unknown sessions among them are passed over. */
export interface ExpireSessions {
  readonly kind: "expire-sessions";
  readonly nowMs: number;
  readonly sessionIds: readonly SessionId[];
}

/** Makes or changes a class. Files keep the number of copies they have until it is set anew. */
export interface DefineStorageClass {
  readonly kind: "define-storage-class";
  readonly nowMs: number;
  readonly attempt: Attempt;
  readonly storageClass: StorageClass;
}

export interface RegisterServer {
  readonly kind: "register-server";
  readonly nowMs: number;
  readonly server: ServerLocation;
}

/**
 * Copies that servers have made and verified. Passed over: chunks that are not known (any more),
 * and copies that a pending purge may still delete.
 */
export interface AddReplicas {
  readonly kind: "add-replicas";
  readonly items: readonly {
    readonly chunkId: ChunkId;
    readonly serverId: ServerId;
    readonly intentIndex: LogIndex;
  }[];
}

/** Copies that are rotten or gone: they no longer count. Unknown ones are passed over. */
export interface DropReplicas {
  readonly kind: "drop-replicas";
  readonly items: readonly {
    readonly chunkId: ChunkId;
    readonly serverId: ServerId;
    readonly reason: string;
  }[];
}

/** Servers have deleted these copies, or never had them. */
export interface FinishPurges {
  readonly kind: "finish-purges";
  readonly items: readonly {
    readonly chunkId: ChunkId;
    readonly serverId: ServerId;
    readonly purgeIndex: LogIndex;
  }[];
}

/** From this entry on no commit under an intent older than `floor` succeeds. Never goes down. */
export interface RaiseIntentFloor {
  readonly kind: "raise-intent-floor";
  readonly floor: LogIndex;
}

/** One bounded step of giving back what nobody can read any more. */
export interface Reclaim {
  readonly kind: "reclaim";
  readonly nowMs: number;
  /** Records that the step may change, about. */
  readonly recordsMax: number;
  /**
   * Rows that the history may have: where there are more the oldest go, however young they are. The
   * leader decides it, by its setting and by the space that is left. Absent: no bound.
   */
  readonly versionsMax?: number;
}

/**
 * Every member notes the hash of its state after this entry, and holds its own against what the
 * majority found at an earlier one. One that differs stops itself: STATE_DIVERGED.
 */
export interface Checkpoint {
  readonly kind: "checkpoint";
  readonly verdict: { readonly index: LogIndex; readonly stateHash: Uint8Array } | null;
}

/** Every member supports `level`. Never goes down; a member that does not support it stops. */
export interface RaiseFeatureLevel {
  readonly kind: "raise-feature-level";
  readonly level: number;
}

/** What became of a command; the same on every replica. A refused command has changed nothing. */
export type Outcome = Success | Refused;

export interface Success {
  readonly ok: true;
  /** The entry that had the effect: for a retry, that of the first attempt. */
  readonly index: LogIndex;
  /** One for each operation of a `transact`; else empty. */
  readonly results: readonly { readonly inode: InodeId | null }[];
}

export interface Refused {
  readonly ok: false;
  readonly index: LogIndex;
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
  /** The operation that was refused; null if it was the command as a whole or a precondition. */
  readonly operationIndex: number | null;
}

/**
 * Upper bound of an encoded command that the API accepts. The bound of a request on the wire is
 * derived from it. `PROPOSAL_BYTES_MAX` of the driver (`master/driver/proposals.ts`) is lower, so a
 * caller reaches that bound first. Both bounds fail with TOO_LARGE.
 */
export const WIRE_COMMAND_BYTES_MAX = 16 * 1024 * 1024;
