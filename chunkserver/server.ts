import type { ServerId } from "../shared/base/ids.ts";
import type { Disk } from "../shared/ports/disk.ts";
import type { Env } from "../shared/ports/env.ts";
import type { OrderedStores } from "../shared/ports/ordered-store.ts";
import type { ChunkserverConfig } from "./config.ts";

export interface RunningChunkserver extends AsyncDisposable {
  readonly serverId: ServerId;
  /** "host:port" that others are told. */
  readonly address: string;
  /** "host:port" of the HTTP face, or null where there is none. */
  readonly httpAddress: string | null;
}

/** What a chunkserver owns beside its world: the data directory and the index stores in it. */
export interface ChunkserverStorage {
  readonly disk: Disk;
  readonly stores: OrderedStores;
}

/**
 * Starts a chunkserver. Resolves when it listens and serves what it has; it takes writes once a
 * leader has registered it. Disposing it says goodbye, ends what is in flight and closes the disk.
 *
 * @throws {AshlarError} WRONG_IDENTITY or STORE_CORRUPT if the data directory is not what it says
 *   it is; ADDRESS_IN_USE.
 */
export async function startChunkserver(
  config: ChunkserverConfig,
  env: Env,
  storage: ChunkserverStorage,
): Promise<RunningChunkserver> {
  env.log.info("Chunkserver is starting", { dataDir: config.dataDir, hasDisk: storage.disk });
  throw new Error("Not built");
}
