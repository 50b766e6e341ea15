import { assert, present } from "../../shared/base/assert.ts";
import { type AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { Clock, Timer } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Entry, StorageApplied, StorageApply } from "../raft/messages.ts";
import type { StateMachine } from "../state-machine.ts";

/** Applying yields to the rest of the process after so long. */
const SLICE_MS = 5;
/** Entries between two looks at the clock. */
const ENTRIES_PER_CLOCK_READ = 32;
const NO_DATA = new Uint8Array(0);

export interface ApplierOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly machine: () => StateMachine;
  readonly flushIntervalMs: number;
  readonly flushBytes: number;
  readonly unflushedBytesMax: number;
  /** The encoded membership after an entry that changes it, else null. */
  readonly membershipAfter: (entry: Entry) => Uint8Array | null;
  /** The state shows `entry`. */
  readonly onApplied: (entry: Entry, outcome: unknown) => void;
  /** A whole batch is applied. */
  readonly onBatch: (reply: StorageApplied) => void;
  /** The store has caught up. */
  readonly onFlushed: () => void;
  /** The store's disk is full; called once until it has room again. */
  readonly onFull: () => void;
  /** The store failed for good, or the state cannot take an entry: this member must stop. */
  readonly onFailure: (error: AshlarError) => void;
}

/**
 * Applies what is committed, in order, and writes the state behind.
 *
 * Invariants: one flush at a time; applying pauses while the store lags behind by more than
 * `unflushedBytesMax`; while frozen nothing touches the state.
 */
export class Applier {
  readonly #options: ApplierOptions;
  #queue: StorageApply[] = [];
  /** Entries of the first batch that are applied already. */
  #doneCount = 0;
  #resuming: Promise<void> | null = null;
  #flushing: Promise<void> | null = null;
  #flushTimer: Timer | null = null;
  #isFrozen = false;
  #isStopped = false;
  #hasFailed = false;
  #isFull = false;

  constructor(options: ApplierOptions) {
    this.#options = options;
  }

  /** The store's disk was full at the last flush; it is tried again. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** Applies `batch` at once, or in the next turn: then what this turn writes and sends goes first. */
  enqueue(batch: StorageApply, when: "now" | "next-turn"): void {
    this.#queue.push(batch);
    if (this.#resuming !== null) return;
    if (when === "now") this.#pump();
    else this.#resuming = this.#options.clock.yieldTurn().then(() => this.#pump());
  }

  /** Applies all that is queued and waits for the store; then nothing touches it until `thaw`. */
  async freeze(): Promise<void> {
    const { clock, flushIntervalMs } = this.#options;
    while (!this.#isStopped && (this.#queue.length > 0 || this.#flushing !== null)) {
      if (this.#flushing !== null) await this.#flushing;
      else if (this.#isFull) await clock.sleep(flushIntervalMs);
      else await clock.yieldTurn();
    }
    this.#isFrozen = true;
    this.#cancelTimer();
  }

  thaw(): void {
    this.#isFrozen = false;
    this.#pump();
  }

  /** Applies nothing more. Writes what is applied, once, unless the store has failed. */
  async stop(options: { readonly isStoreGood: boolean }): Promise<void> {
    this.#isStopped = true;
    this.#queue = [];
    this.#cancelTimer();
    await this.#flushing;
    const { machine, log } = this.#options;
    const { appliedIndex, durable } = machine();
    const isGood = options.isStoreGood && !this.#hasFailed;
    if (!isGood || this.#isFrozen || appliedIndex === durable.index) return;
    try {
      await machine().flush();
    } catch (error) {
      log.warn("The state was not written at the end; the log completes it", { error });
    }
  }

  #pump(): void {
    this.#resuming = null;
    const { clock, machine, unflushedBytesMax } = this.#options;
    const untilMs = clock.monotonicMs() + SLICE_MS;
    for (let count = 1; this.#queue.length > 0; count += 1) {
      if (this.#isFrozen || this.#isStopped) return;
      if (machine().unflushedBytes > unflushedBytesMax) {
        this.#startFlush(); // It goes on here when it ends.
        return;
      }
      if (!this.#applyNext()) return;
      if (count % ENTRIES_PER_CLOCK_READ === 0 && clock.monotonicMs() > untilMs) {
        this.#resuming = clock.yieldTurn().then(() => this.#pump());
        break;
      }
    }
    this.#considerFlush();
  }

  /** @returns false if the state refused the entry: nothing more is applied. */
  #applyNext(): boolean {
    const batch = present(this.#queue[0], "a batch is queued");
    const entry = present(batch.entries[this.#doneCount], "a batch holds what is not applied");
    const { machine, membershipAfter, onApplied, onBatch } = this.#options;
    assert(entry.index === machine().appliedIndex + 1, "entries are applied without gaps");
    const { index, term } = entry;
    const membership = membershipAfter(entry);
    const data = entry.kind === "normal" ? entry.data : NO_DATA;
    let outcome: unknown;
    try {
      outcome = machine().apply({ index, term, data, membership });
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      this.#fail(error);
      return false;
    }
    assert(machine().appliedIndex === index, "the state shows what was applied");
    this.#doneCount += 1;
    if (this.#doneCount === batch.entries.length) {
      this.#queue.shift();
      this.#doneCount = 0;
      onBatch(batch.reply);
    }
    onApplied(entry, outcome);
    return true;
  }

  #fail(error: AshlarError): void {
    this.#isStopped = true;
    this.#hasFailed = true;
    this.#options.onFailure(error);
  }

  #considerFlush(): void {
    const { clock, machine, flushBytes, flushIntervalMs } = this.#options;
    if (this.#isFrozen || this.#isStopped || this.#flushing !== null) return;
    const { appliedIndex, durable, unflushedBytes } = machine();
    if (appliedIndex === durable.index) return;
    if (unflushedBytes >= flushBytes && !this.#isFull) {
      this.#startFlush();
      return;
    }
    this.#flushTimer ??= clock.after(flushIntervalMs, () => {
      this.#flushTimer = null;
      this.#startFlush();
    });
  }

  #startFlush(): void {
    if (this.#flushing !== null || this.#isFrozen || this.#isStopped) return;
    this.#cancelTimer();
    this.#flushing = this.#flush();
  }

  async #flush(): Promise<void> {
    const { clock, machine, flushIntervalMs, log, onFlushed } = this.#options;
    try {
      await machine().flush();
      if (this.#isFull) log.info("The disk of the state has room again");
      this.#isFull = false;
      this.#flushing = null;
      onFlushed();
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      if (error.code !== "NO_SPACE") {
        this.#flushing = null;
        this.#fail(error);
        return;
      }
      // Nothing was applied to the store and nothing is lost: the log still holds it.
      if (!this.#isFull) {
        this.#isFull = true;
        log.error("The disk of the state is full", { error });
        this.#options.onFull();
      }
      await clock.sleep(flushIntervalMs);
      this.#flushing = null;
    }
    if (!this.#isFrozen && this.#resuming === null) this.#pump();
  }

  #cancelTimer(): void {
    this.#flushTimer?.cancel();
    this.#flushTimer = null;
  }
}
