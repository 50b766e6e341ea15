import type {
  ChunkId,
  InodeId,
  LogIndex,
  ServerId,
  SessionId,
  Term,
} from "../../shared/base/ids.ts";
import type { EntryName } from "../../shared/base/path.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { OrderedStore } from "../../shared/ports/ordered-store.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import type { Attributes, StorageClass, Target } from "../../shared/protocol/namespace-api.ts";
import type { AppliedEntry, StateMachine, StateSnapshot } from "../state-machine.ts";
import type { ClusterFacts, Outcome } from "./command.ts";
import type {
  ChunkView,
  ContentPart,
  Counters,
  ListingPage,
  PurgeView,
  SessionView,
} from "./views.ts";

/**
 * The replicated state: the tree of files, their chunks, sessions and servers.
 *
 * SIGNATURES ONLY for the moment. Reads show the state after `appliedIndex`, or as of `at` where
 * one is given: INDEX_EXPIRED (details.oldestIndex) before `oldestReadableIndex`.
 */
export declare class Namespace implements StateMachine {
  /**
   * Opens the state in `store`; an empty store is a cluster before its first entry.
   *
   * @throws {AshlarError} STORE_CORRUPT if what is there is no state: it is to be rebuilt.
   */
  static open(options: { readonly store: OrderedStore; readonly hasher: Hasher }): Namespace;

  readonly appliedIndex: LogIndex;
  readonly durable: { readonly index: LogIndex; readonly term: Term };
  /** As of `durable.index`; empty before the first. */
  readonly durableMembership: Uint8Array;
  readonly unflushedBytes: number;
  /** The outcome of the entry's command; null for an entry without one. */
  apply(entry: AppliedEntry): Outcome | null;
  flush(): Promise<void>;
  openSnapshot(): StateSnapshot;

  // The tree. @throws {AshlarError} NOT_FOUND, NOT_A_DIRECTORY, INDEX_EXPIRED, INVALID_ARGUMENT
  stat(target: Target, at?: LogIndex): Attributes;
  list(
    target: Target,
    page: { readonly after?: EntryName | undefined; readonly limit: number },
    at?: LogIndex,
  ): ListingPage;
  locate(
    target: Target,
    part: { readonly firstPosition: number; readonly count: number },
    at?: LogIndex,
  ): ContentPart;
  /** The class of the file, or of the deepest directory on its path that is there. */
  storageClassFor(target: Target): StorageClass;
  oldestReadableIndex(): LogIndex;

  // Sessions, classes, facts.
  sessions(): readonly SessionView[];
  hasSession(sessionId: SessionId): boolean;
  storageClasses(): readonly StorageClass[];
  storageClass(name: string): StorageClass | undefined;
  /** Undefined before `bootstrap`. */
  clusterFacts(): ClusterFacts | undefined;
  counters(): Counters;

  // Chunks and servers.
  servers(): readonly ServerLocation[];
  chunk(id: ChunkId): ChunkView | undefined;
  knowsChunk(id: ChunkId): boolean;
  chunksOfServer(serverId: ServerId, after: ChunkId | null, limit: number): readonly ChunkId[];
  underReplicated(after: ChunkId | null, limit: number): readonly ChunkId[];
  purgesOf(serverId: ServerId, limit: number): readonly PurgeView[];
  intentFloor(): LogIndex;
  /** Whether a `reclaim` proposed at `nowMs` would find work. */
  reclaimPending(nowMs: number): boolean;
  /** The path of a live inode, for messages. */
  pathOf(inode: InodeId): Uint8Array | undefined;
}
