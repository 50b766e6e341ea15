import type { SlabPool } from "../shared/flow/slabs.ts";
import type { Env } from "../shared/ports/env.ts";
import type { Background } from "./background.ts";
import type { Chunkservers } from "./chunkservers/chunkservers.ts";
import type { FeedMasters } from "./masters/feed-masters.ts";
import type { MasterSession } from "./masters/master-session.ts";
import type { RetryEvent } from "./options.ts";
import type { ManifestCache } from "./read/manifest-cache.ts";
import type { ReadAheadBudget } from "./read/read-ahead-budget.ts";
import type { ZeroBlocks } from "./write/zero-blocks.ts";

/** What the parts of one client share. */
export interface ClientDeps {
  readonly env: Env;
  readonly masters: MasterSession;
  readonly feed: FeedMasters;
  readonly chunkservers: Chunkservers;
  readonly manifests: ManifestCache;
  readonly zeroBlocks: ZeroBlocks;
  /** Frames of files that are being written. */
  readonly writeSlabs: SlabPool;
  readonly readAheadBudget: ReadAheadBudget;
  readonly background: Background;
  readonly hostName: string;
  /** Default limit of one call to the masters. */
  readonly timeoutMs: number;
  readonly onRetry: (event: RetryEvent) => void;
}
