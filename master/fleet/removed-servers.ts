import type { ChunkId, ServerId } from "../../shared/base/ids.ts";
import type { UnstampedCommand } from "../namespace/command.ts";

/** The part of the replicated state that RemovedServers reads. */
export interface RemovedServersState {
  removedServers(): readonly ServerId[];
  chunksOfServer(serverId: ServerId, after: ChunkId | null, limit: number): readonly ChunkId[];
  purgesOf(serverId: ServerId, limit: number): readonly unknown[];
}

/** Replicas and purges that one entry removes. Takes a few ms on every master. */
const RECORDS_PER_ENTRY = 500;
/** Maximum number of entries in one step. */
const ENTRIES_PER_STEP = 10;
/** Removed servers that one step examines. */
const SERVERS_PER_STEP = 50;

/**
 * Removes the replicas and the pending purges of removed chunkservers from the state, in bounded
 * steps. Derived from the state alone: a commit under an old intent can record a replica on a server
 * after its removal.
 */
export class RemovedServers {
  readonly #state: () => RemovedServersState;
  readonly #propose: (command: UnstampedCommand) => Promise<unknown>;
  /** Position of the next step in the list of removed servers. */
  #next = 0;

  constructor(options: {
    readonly state: () => RemovedServersState;
    readonly propose: (command: UnstampedCommand) => Promise<unknown>;
  }) {
    this.#state = options.state;
    this.#propose = options.propose;
  }

  /** Runs one step. */
  async step(): Promise<void> {
    const removed = this.#state().removedServers();
    let entries = 0;
    for (let count = 0; count < Math.min(SERVERS_PER_STEP, removed.length); count += 1) {
      const serverId = removed[this.#next % removed.length] as ServerId;
      while (this.#hasRecords(serverId)) {
        if (entries === ENTRIES_PER_STEP) return;
        entries += 1;
        const bounds = { recordsMax: RECORDS_PER_ENTRY };
        await this.#propose({ kind: "remove-server", serverId, ...bounds });
      }
      this.#next = (this.#next + 1) % removed.length;
    }
  }

  #hasRecords(serverId: ServerId): boolean {
    const state = this.#state();
    return (
      state.chunksOfServer(serverId, null, 1).length > 0 || state.purgesOf(serverId, 1).length > 0
    );
  }
}
