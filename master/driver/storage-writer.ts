import { type AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { HardState, Message, Snapshot, StorageAppend } from "../raft/messages.ts";
import type { DurableLog } from "./member-storage.ts";

/** Dependencies and settings of a StorageWriter. */
export interface StorageWriterOptions {
  readonly log: DurableLog;
  /** Replaces the state by the snapshot. Durable when it resolves. */
  readonly installState: (snapshot: Snapshot) => Promise<void>;
  /** Records that the log was reset to the installed state. Durable when it resolves. */
  readonly endLogReset: () => Promise<void>;
  /** Called when the snapshot has replaced the state and the log. */
  readonly onInstalled: (snapshot: Snapshot) => void;
  /** Called with the replies of an append once everything that they promise is durable. */
  readonly onDurable: (replies: readonly Message[]) => void;
  /** Called at most once. The writer writes nothing after that. */
  readonly onFailure: (error: AshlarError) => void;
}

/**
 * Carries out the writes that the core requests, in order.
 *
 * Invariant: the replies of an append are delivered only when this append and all earlier ones are
 * durable. Appends without a snapshot may overlap, and the log syncs them together. A snapshot waits
 * for all earlier appends, and all later appends wait for the snapshot.
 */
export class StorageWriter {
  readonly #options: StorageWriterOptions;
  readonly #queue: StorageAppend[] = [];
  /** Settles when the last append is durable or has failed. */
  #lastAppend: Promise<void> = Promise.resolve();
  #isInstalling = false;
  #isFailed = false;

  constructor(options: StorageWriterOptions) {
    this.#options = options;
  }

  /** Queues an append. */
  write(append: StorageAppend): void {
    this.#queue.push(append);
    this.#pump();
  }

  /** Resolves when all requested appends are durable or have failed. */
  async idle(): Promise<void> {
    while (!this.#isFailed && (this.#isInstalling || this.#queue.length > 0)) {
      await this.#lastAppend;
    }
    await this.#lastAppend;
  }

  #pump(): void {
    while (!this.#isInstalling && !this.#isFailed) {
      const append = this.#queue.shift();
      if (append === undefined) return;
      if (append.snapshot === null) this.#append(append);
      else this.#lastAppend = this.#install(append, append.snapshot);
    }
  }

  #append({ hardState, entries, replies }: StorageAppend): void {
    const { log, onDurable } = this.#options;
    const batch = hardState === null ? { entries } : { hardState, entries };
    this.#lastAppend = log.append(batch).then(
      () => {
        if (!this.#isFailed && replies.length > 0) onDurable(replies);
      },
      (error: AshlarError) => this.#fail(error),
    );
  }

  /**
   * Replaces first the state and then the log. After a crash between the two, the state is ahead of the
   * log, which `openDriver` repairs because the log reset is recorded as pending. In the opposite order, a
   * crash would leave a log that begins after a state that does not exist.
   */
  async #install(append: StorageAppend, snapshot: Snapshot): Promise<void> {
    const { log, installState, endLogReset, onInstalled, onDurable } = this.#options;
    this.#isInstalling = true;
    try {
      await this.#lastAppend;
      await installState(snapshot);
      const hardState: HardState = {
        ...(append.hardState ?? log.hardState),
        commitIndex: snapshot.index,
      };
      await log.reset({ index: snapshot.index, term: snapshot.term }, hardState);
      await endLogReset();
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      this.#fail(error);
      return;
    } finally {
      this.#isInstalling = false;
    }
    onInstalled(snapshot);
    onDurable(append.replies);
    this.#pump();
  }

  #fail(error: AshlarError): void {
    if (this.#isFailed) return;
    this.#isFailed = true;
    this.#options.onFailure(error);
  }
}
