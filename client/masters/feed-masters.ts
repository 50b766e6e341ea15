import type { ConnectionPool } from "../../shared/wire/connection-pool.ts";
import type { Connection } from "../../shared/wire/rpc.ts";

/** Access to the masters for watches, which open streams at any master. */
export interface FeedMasters {
  readonly pool: ConnectionPool;
  /** Addresses of the config, and those fetched from the masters since. */
  readonly addresses: () => readonly string[];
  /** Refreshes the address list through `connection`: membership may change during a long watch. */
  readonly refreshAddresses: (connection: Connection) => Promise<void>;
}
