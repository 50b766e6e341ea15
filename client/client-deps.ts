import type { Env } from "../shared/ports/env.ts";
import type { Background } from "./background.ts";
import type { Chunkservers } from "./chunkservers/chunkservers.ts";
import type { FeedMasters } from "./masters/feed-masters.ts";
import type { MasterSession } from "./masters/master-session.ts";
import type { RetryEvent } from "./options.ts";
import type { BlockCache } from "./read/block-cache.ts";
import type { BlockReads } from "./read/block-reads.ts";
import type { ManifestCache } from "./read/manifest-cache.ts";
import type { ReadAheadBudget } from "./read/read-ahead-budget.ts";
import type { SmallChunks } from "./write/small-chunks.ts";
import type { UploadSlabs } from "./write/upload-frames.ts";
import type { ZeroBlocks } from "./zero-blocks.ts";

/** Dependencies that the classes and functions of one client share. */
export interface ClientDeps {
  readonly env: Env;
  /** Calls to the masters. */
  readonly masters: MasterSession;
  /** Streams of the change feed. */
  readonly feed: FeedMasters;
  readonly chunkservers: Chunkservers;
  /** Verified block hashes of recently read chunks. */
  readonly manifests: ManifestCache;
  /** Small reads, many in one call. */
  readonly blockReads: BlockReads;
  /** Verified blocks of small reads. */
  readonly blockCache: BlockCache;
  readonly zeroBlocks: ZeroBlocks;
  /** Buffers for the frames of files that are being written. */
  readonly writeSlabs: UploadSlabs;
  readonly smallChunks: SmallChunks;
  readonly readAheadBudget: ReadAheadBudget;
  readonly background: Background;
  /** Aborts when the file system is closed. */
  readonly closing: AbortSignal;
  /** Name of this machine, in the form that chunkservers register. "" if unknown. */
  readonly hostName: string;
  /** Default timeout of one call to the masters, in milliseconds, with all its retries. */
  readonly timeoutMs: number;
  /** Called before each retry. Must not throw. */
  readonly onRetry: (event: RetryEvent) => void;
}
