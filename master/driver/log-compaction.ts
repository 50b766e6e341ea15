import type { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import type { Log } from "../../shared/ports/log.ts";
import { minIndex } from "../raft/entries.ts";
import type { DurableLog } from "./member-storage.ts";

/** Dependencies of LogCompaction. */
export interface LogCompactionOptions {
  readonly log: Log;
  readonly raftLog: DurableLog;
  /** Returns whether this member has not halted: a halted one changes nothing on its disk. */
  readonly isRunning: () => boolean;
  /** Returns the index up to which the state is durable. */
  readonly durableIndex: () => LogIndex;
  /** Returns the index from which the receivers of snapshots need the log. Infinity if there is none. */
  readonly sendingIndex: () => number;
  /** Called when the receivers of states before `index` hold too much of the log. */
  readonly onHeldTooLong: (index: LogIndex) => void;
  /** Called when the log failed. This member must stop. */
  readonly onFailure: (error: AshlarError) => void;
}

/**
 * Drops log entries that are needed neither for a restart (the state is durable after them) nor by the
 * receiver of a snapshot. A part of the log stays on disk for members that were away, which would
 * otherwise need a snapshot: see `logKeptBytes`.
 */
export class LogCompaction {
  readonly #options: LogCompactionOptions;

  constructor(options: LogCompactionOptions) {
    this.#options = options;
  }

  /**
   * Drops what the log need not keep. Called at the start, after each flush of the state, and when the
   * disk is full.
   */
  run(isFull = false): void {
    const { raftLog, sendingIndex, onHeldTooLong } = this.#options;
    const droppableIndex = this.#droppableIndex();
    const limit = Math.min(droppableIndex, sendingIndex()) as LogIndex;
    const held = raftLog.compactionPoint(limit, isFull);
    const wanted = raftLog.compactionPoint(droppableIndex, isFull);
    // The transfers end soon, and the next call drops what they held.
    if (raftLog.isHeldTooLong({ held, wanted })) onHeldTooLong(wanted);
    this.#compactTo(held);
  }

  /**
   * Handles an entry that cannot be read from the disk. If this member does not need it, the log is
   * dropped up to the state: other members get a snapshot instead.
   */
  onUnreadable(first: LogIndex, error: AshlarError): void {
    const { log, onFailure } = this.#options;
    const droppableIndex = this.#droppableIndex();
    if (first > droppableIndex) {
      onFailure(error);
      return;
    }
    log.error("Dropped the log up to the state: an entry cannot be read", { error });
    // The receivers of snapshots need the log from `sendingIndex` on, unless this entry is after it.
    const sending = this.#options.sendingIndex();
    this.#compactTo(
      sending >= first ? minIndex(droppableIndex, sending as LogIndex) : droppableIndex,
    );
  }

  /** Returns the index up to which a restart of this member needs no log. */
  #droppableIndex(): LogIndex {
    const { raftLog, durableIndex } = this.#options;
    return minIndex(durableIndex(), raftLog.hardState.commitIndex);
  }

  #compactTo(index: LogIndex): void {
    const { isRunning, raftLog, onFailure } = this.#options;
    if (isRunning() && index > raftLog.entries.base.index)
      raftLog.compactTo(index).catch(onFailure);
  }
}
