import type { ConnectionPool } from "../../shared/wire/connection-pool.ts";
import type { Connection } from "../../shared/wire/rpc.ts";

/** The masters as a watch uses them: it opens streams at any of them. */
export interface FeedMasters {
  readonly pool: ConnectionPool;
  /** Addresses from the config and those learned since. */
  readonly addresses: () => readonly string[];
  /** Refreshes the address list through `connection`: membership may change during a long watch. */
  readonly learn: (connection: Connection) => Promise<void>;
  /** Aborts when the file system is closed. */
  readonly closing: AbortSignal;
}
