import { type AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { HardState, Message, Snapshot, StorageAppend } from "../raft/messages.ts";
import type { DurableLog } from "./member-storage.ts";

export interface StorageWriterOptions {
  readonly log: DurableLog;
  /** Puts the snapshot in place of the state, durably. */
  readonly installState: (snapshot: Snapshot) => Promise<void>;
  /** The snapshot stands in place of the state and of the log. */
  readonly onInstalled: (snapshot: Snapshot) => void;
  /** What is promised is durable: the promises may be delivered. */
  readonly onDurable: (replies: readonly Message[]) => void;
  /** Called once; nothing is written any more. */
  readonly onFailure: (error: AshlarError) => void;
}

/**
 * Writes what the core asks for, in order.
 *
 * Invariant: replies are delivered only after what they promise and all that was asked before it is
 * durable. Appends overlap in the log, which syncs them together; a snapshot waits for all before
 * it, and all after it wait for the snapshot.
 */
export class StorageWriter {
  readonly #options: StorageWriterOptions;
  readonly #queue: StorageAppend[] = [];
  /** Resolves when the last append is durable, or has failed. */
  #lastAppend: Promise<void> = Promise.resolve();
  #isInstalling = false;
  #isFailed = false;

  constructor(options: StorageWriterOptions) {
    this.#options = options;
  }

  write(append: StorageAppend): void {
    this.#queue.push(append);
    this.#pump();
  }

  /** Resolves when all that was asked for so far is durable, or has failed. */
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
   * The state first, then the log: after a crash between the two the state is ahead of the log,
   * which `openDriver` mends. The other way round a state would be needed that is nowhere.
   */
  async #install(append: StorageAppend, snapshot: Snapshot): Promise<void> {
    const { log, installState, onInstalled, onDurable } = this.#options;
    this.#isInstalling = true;
    try {
      await this.#lastAppend;
      await installState(snapshot);
      const hardState: HardState = {
        ...(append.hardState ?? log.hardState),
        commitIndex: snapshot.index,
      };
      await log.reset({ index: snapshot.index, term: snapshot.term }, hardState);
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
