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
import type { Facts } from "./refusal-reason.ts";

/**
 * A change of the state, as the Raft log stores it. Field names and `kind` values are part of the
 * encoding in the log.
 *
 * A command contains every value that members could decide differently: the leader's time, and
 * facts that the leader has verified. Applying a command needs only the state before it.
 */
export type Command =
  | Bootstrap
  | Transact
  | OpenSession
  | KeepSession
  | CloseSession
  | ExpireSessions
  | DefineStorageClass
  | SetHistoryRetention
  | StepClock
  | RegisterServer
  | RemoveServer
  | AddReplicas
  | DropReplicas
  | FinishPurges
  | RaiseIntentFloor
  | Reclaim
  | Checkpoint
  | RaiseFeatureLevel
  | ChangeEnrolment;

/** A command without its time. The leader adds the time when it proposes the command. */
export type UnstampedCommand = WithoutTime<Command>;

type WithoutTime<Each> = Each extends { readonly nowMs: number } ? Omit<Each, "nowMs"> : Each;

/** The commands that have no time. */
const KINDS_WITHOUT_TIME: ReadonlySet<string> = new Set<
  Exclude<Command, { readonly nowMs: number }>["kind"]
>([
  "step-clock",
  "add-replicas",
  "drop-replicas",
  "finish-purges",
  "raise-intent-floor",
  "checkpoint",
  "raise-feature-level",
]);

/** Returns the command with the time `nowMs`, in milliseconds since the epoch, if it needs one. */
export function stamped(command: UnstampedCommand, nowMs: number): Command {
  const hasTime = !KINDS_WITHOUT_TIME.has(command.kind);
  return (hasTime ? { ...command, nowMs } : command) as Command;
}

/**
 * Facts that all members of a cluster share. `bootstrap` sets them; `set-history-retention` changes
 * the retention.
 */
export interface ClusterFacts {
  readonly clusterId: ClusterId;
  /** Key of intents and receipts, 32 bytes. From feature level 13 on, its first version. */
  readonly chunkKey: Uint8Array;
  readonly createdMs: number;
  /** Name of the class of the root directory. */
  readonly defaultStorageClass: string;
  /** Size of the largest file that is stored in its inode; 0 to INLINE_BYTES_MAX. */
  readonly inlineBytesMax: number;
  /** Minimum time for which old versions, removed files and their chunks are kept. */
  readonly historyRetentionMs: number;
  /** Bound of the change feed on disk. Absent: FEED_BYTES_MAX. */
  readonly feedBytesMax?: number;
  /** Time within which a writer should commit after it received an intent. */
  readonly intentLifetimeMs: number;
  /** The leader may expire a session that was idle for longer. */
  readonly sessionIdleMsMax: number;
}

/**
 * The first command of a cluster: makes its facts, its default storage class and the root
 * directory.
 */
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

/** A mutation of a client. Applies all operations or none, and only if all preconditions hold. */
export interface Transact {
  readonly kind: "transact";
  readonly nowMs: number;
  readonly attempt: Attempt;
  readonly preconditions: readonly Precondition[];
  readonly operations: readonly NamespaceOperation[];
}

/** A chunk of a commit. The leader has verified the receipt of every replica. */
export interface VerifiedChunk {
  readonly id: ChunkId;
  readonly lengthBytes: number;
  /** Index of the intent under which the chunk was written; 0 without replicas. */
  readonly intentIndex: LogIndex;
  /** Servers that sealed the chunk. Empty for a reference to a chunk that the state already has. */
  readonly replicas: readonly ServerId[];
}

/** The whole content of a file, with verified chunks. */
export type VerifiedContent =
  | { readonly kind: "inline"; readonly bytes: Uint8Array }
  | {
      readonly kind: "chunks";
      readonly sizeBytes: number;
      readonly chunkSizeBytes: number;
      readonly chunks: readonly VerifiedChunk[];
    };

/** The replacement of the chunk at one position of a file. */
export interface ChunkChange {
  readonly position: number;
  /** The present chunk of the position. Null for a position past the end of the file. */
  readonly expected: ChunkId | null;
  readonly chunk: VerifiedChunk;
}

/** `put` of the protocol, with verified replicas instead of receipts. */
export type PutOperation = Omit<OperationOf<"put">, "content"> & {
  readonly content: VerifiedContent;
};
/** `commit-chunks` of the protocol, with verified replicas instead of receipts. */
export type CommitChunksOperation = Omit<OperationOf<"commit-chunks">, "changes"> & {
  readonly changes: readonly ChunkChange[];
};

/** `stage` of the protocol, with verified replicas instead of receipts. */
export type StageOperation = Omit<OperationOf<"stage">, "chunks"> & {
  readonly chunks: readonly VerifiedChunk[];
};

/** `Operation` of the protocol, with verified replicas instead of receipts. */
export type NamespaceOperation =
  | Exclude<Operation, { kind: "put" | "commit-chunks" | "stage" }>
  | PutOperation
  | CommitChunksOperation
  | StageOperation;

/** Opens a client session. The id of the session is the index of this entry. */
export interface OpenSession {
  readonly kind: "open-session";
  readonly nowMs: number;
  readonly clientName: string;
}

/** Renews a session. Refused with SESSION_EXPIRED if the session does not exist. */
export interface KeepSession {
  readonly kind: "keep-session";
  readonly nowMs: number;
  readonly sessionId: SessionId;
}

/**
 * Closes a session. Its unfinished uploads are reclaimed. Closing an unknown session is not an
 * error.
 */
export interface CloseSession {
  readonly kind: "close-session";
  readonly nowMs: number;
  readonly sessionId: SessionId;
}

/** Closes sessions that were idle for too long. Skips unknown sessions. */
export interface ExpireSessions {
  readonly kind: "expire-sessions";
  readonly nowMs: number;
  readonly sessionIds: readonly SessionId[];
}

/** Makes or changes a class. A file keeps its number of copies until its class is set again. */
export interface DefineStorageClass {
  readonly kind: "define-storage-class";
  readonly nowMs: number;
  readonly attempt: Attempt;
  readonly storageClass: StorageClass;
}

/**
 * Changes the time for which the history is kept. A shorter one takes effect with the next `reclaim`;
 * a longer one brings no forgotten state back.
 */
export interface SetHistoryRetention {
  readonly kind: "set-history-retention";
  readonly nowMs: number;
  readonly attempt: Attempt;
  readonly historyRetentionMs: number;
}

/**
 * Steps the time of the state from `fromMs` to `toMs`, in either direction. No time passes for the
 * retention of the history: docs/decisions/0015.
 */
export interface StepClock {
  readonly kind: "step-clock";
  /** The time without the step: that of the last entry plus the time since then. */
  readonly fromMs: number;
  readonly toMs: number;
}

/** Records the address, host and rack of a chunkserver. */
export interface RegisterServer {
  readonly kind: "register-server";
  readonly nowMs: number;
  readonly server: ServerLocation;
}

/**
 * Removes a chunkserver from the state for ever, and at most `recordsMax` of its replicas and pending
 * purges. The leader repeats the command until none is left. Repeating it is not an error.
 */
export interface RemoveServer {
  readonly kind: "remove-server";
  readonly nowMs: number;
  readonly serverId: ServerId;
  readonly recordsMax: number;
}

/**
 * Records copies that servers have made and verified. Skips unknown and removed chunks, and copies
 * that a pending purge may still delete.
 */
export interface AddReplicas {
  readonly kind: "add-replicas";
  readonly items: readonly {
    readonly chunkId: ChunkId;
    readonly serverId: ServerId;
    readonly intentIndex: LogIndex;
  }[];
}

/** Removes copies that are corrupt or lost. Skips unknown and newer copies. */
export interface DropReplicas {
  readonly kind: "drop-replicas";
  readonly items: readonly {
    readonly chunkId: ChunkId;
    readonly serverId: ServerId;
    readonly reason: string;
    /**
     * Intent of the lost copy: the server has sealed a copy with a later intent again. Absent below
     * feature level 5, and for a server that does not know it: then any copy is removed.
     */
    readonly intentIndex?: LogIndex;
    /**
     * Whether the server still has the bytes and its disk cannot read them. The last recorded copy of
     * a chunk is then kept. Absent below feature level 14.
     */
    readonly isUnreadable?: boolean;
  }[];
}

/** Removes purges whose copies the servers have deleted or never had. */
export interface FinishPurges {
  readonly kind: "finish-purges";
  readonly items: readonly {
    readonly chunkId: ChunkId;
    readonly serverId: ServerId;
    readonly purgeIndex: LogIndex;
  }[];
}

/** From this entry on, a commit under an intent older than `floor` is refused. Never decreases. */
export interface RaiseIntentFloor {
  readonly kind: "raise-intent-floor";
  readonly floor: LogIndex;
}

/** One bounded step that reclaims records which no readable state shows. */
export interface Reclaim {
  readonly kind: "reclaim";
  readonly nowMs: number;
  /** Approximate bound of the records that the step changes. */
  readonly recordsMax: number;
  /**
   * Bound of the rows of the history. Above it the oldest rows are reclaimed before the retention
   * has passed. The leader derives the bound from its config and the free space. Absent if there is
   * no bound.
   */
  readonly versionsMax?: number;
}

/**
 * Every member stores the hash of its state after this entry, and compares its hash of an earlier
 * checkpoint with that of the majority. A member with another hash stops: STATE_DIVERGED.
 */
export interface Checkpoint {
  readonly kind: "checkpoint";
  /** The majority's hash at an earlier checkpoint. The field name is part of the log encoding. */
  readonly verdict: { readonly index: LogIndex; readonly stateHash: Uint8Array } | null;
}

/** Raises the feature level. A member that does not support `level` stops. Never decreases. */
export interface RaiseFeatureLevel {
  readonly kind: "raise-feature-level";
  readonly level: number;
  /**
   * A new secret, 32 bytes, from which the credentials of chunkservers are derived. Used by the entry that
   * reaches feature level 13, which is refused without it.
   */
  readonly enrolmentKey?: Uint8Array;
}

/** Changes who may enrol as a chunkserver: docs/decisions/0019. */
export interface ChangeEnrolment {
  readonly kind: "change-enrolment";
  readonly nowMs: number;
  readonly change: EnrolmentChange;
}

/** One change of the enrolment. Repeating one is not an error. */
export type EnrolmentChange =
  /** Accepts a join token, by its hash (32 bytes), for `validMs` of cluster time. */
  | { readonly kind: "add-token"; readonly tokenHash: Uint8Array; readonly validMs: number }
  /** Removes the tokens that have expired. */
  | { readonly kind: "expire-tokens" }
  /** From now on, a chunkserver enrols without a token. */
  | { readonly kind: "open" }
  /**
   * From now on, a chunkserver needs a token, and intents are signed with `chunkKey`, 32 bytes. Changes
   * nothing if the enrolment is closed. With `rotatesFrom` (feature level 14), the key rotates in both cases,
   * and the change is refused unless `rotatesFrom` is the newest version of the key.
   */
  | { readonly kind: "close"; readonly chunkKey: Uint8Array; readonly rotatesFrom?: number };

/**
 * The result of a command. Every member computes the same outcome. A refused command has changed
 * nothing but the outcomes of its session and the time.
 */
export type Outcome = Success | Refused;

/** The outcome of a command that was applied. */
export interface Success {
  readonly ok: true;
  /** Index of the entry that had the effect. For a retry: the entry of the first attempt. */
  readonly index: LogIndex;
  /** One result for each operation of a `transact`; otherwise empty. */
  readonly results: readonly { readonly inode: InodeId | null }[];
}

/**
 * The outcome of a command that was refused. The state stores it for retries, so its fields are
 * replicated. It has no words: `errorOfRefused` makes them.
 */
export interface Refused {
  readonly ok: false;
  readonly index: LogIndex;
  readonly code: ErrorCode;
  /** An id of `REASONS`. Null in an outcome that was read from a row with words. */
  readonly reason: string | null;
  readonly facts: Facts;
  readonly details: Readonly<Record<string, unknown>>;
  /** Position of the refused operation. Null if the whole command or a precondition was refused. */
  readonly operationIndex: number | null;
  /** The form of the row in place of reason and facts. Null from FEATURE_LEVEL_REASONS on. */
  readonly frozen: FrozenRefusal | null;
}

/** A refusal in the words of version 0.1.0. */
export interface FrozenRefusal {
  readonly words: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/**
 * Upper bound of an encoded command that the API accepts. A request on the wire may have twice as
 * many bytes (TRANSACT_BYTES_MAX), because it contains the receipts. `PROPOSAL_BYTES_MAX` of the
 * driver (`master/driver/proposals.ts`) is lower, so a caller reaches that bound first. Both bounds
 * fail with TOO_LARGE.
 */
export const WIRE_COMMAND_BYTES_MAX = 16 * 1024 * 1024;
