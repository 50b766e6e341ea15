import { assert, present } from "../../shared/base/assert.ts";
import { type AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { Clock, Timer } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Entry, StorageApplied, StorageApply } from "../raft/messages.ts";
import type { StateMachine } from "../state-machine.ts";

/** Longest time that the applier holds the event loop before it yields, in milliseconds. */
const SLICE_MS = 5;
/** Number of entries applied between two reads of the clock. */
const ENTRIES_PER_CLOCK_READ = 32;
/**
 * Units of the entries after which a turn ends: see `StateMachine.entryUnits`. An entry may cost 20,000,
 * so a turn ends after at most one such entry.
 */
const UNITS_PER_TURN = 5_000;
const NO_DATA = new Uint8Array(0);

export interface ApplierOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Returns the current state machine: an installed snapshot replaces it. */
  readonly machine: () => StateMachine;
  /** Longest time between applying an entry and the flush that stores it. See `DriverTiming`. */
  readonly flushIntervalMs: number;
  /** Size of the unflushed changes that starts a flush. See `DriverLimits`. */
  readonly flushBytes: number;
  /** Size of the unflushed changes above which applying pauses. See `DriverLimits`. */
  readonly unflushedBytesMax: number;
  /** Returns the encoded membership after an entry that changes it. Null for other entries. */
  readonly membershipAfter: (entry: Entry) => Uint8Array | null;
  /** Called after the state machine has applied `entry`. */
  readonly onApplied: (entry: Entry, outcome: unknown) => void;
  /** Called after all entries of a batch are applied, with the reply for the core. */
  readonly onBatch: (reply: StorageApplied) => void;
  /** Called after a flush: the store holds all entries that were applied before the flush. */
  readonly onFlushed: () => void;
  /**
   * Called when the disk of the store becomes full. Called again only if it had room since then.
   */
  readonly onFull: () => void;
  /**
   * Called when the store failed permanently or the state machine cannot apply an entry. This
   * member must stop.
   */
  readonly onFailure: (error: AshlarError) => void;
}

/**
 * Applies committed entries in the order of the log, and flushes the state to the store.
 *
 * Invariants: at most one flush runs at a time. Applying pauses while more than `unflushedBytesMax`
 * bytes are not flushed. A frozen applier neither applies nor flushes.
 */
export class Applier {
  readonly #options: ApplierOptions;
  #queue: StorageApply[] = [];
  /** Number of entries of the first batch that are already applied. */
  #doneCount = 0;
  /** Resolves when applying resumes in a later turn. Null if no resumption is scheduled. */
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

  /**
   * Whether the store's disk was full at the last flush. The flush is repeated until it succeeds.
   */
  get isFull(): boolean {
    return this.#isFull;
  }

  /**
   * Applies `batch` now or in the next turn of the event loop. In the next turn, the writes and
   * messages of the current turn precede it.
   */
  enqueue(batch: StorageApply, when: "now" | "next-turn"): void {
    this.#queue.push(batch);
    if (this.#resuming !== null) return;
    if (when === "now") this.#pump();
    else this.#resuming = this.#options.clock.yieldTurn().then(() => this.#pump());
  }

  /**
   * Resolves when all queued entries are applied and no flush is running. After that the state
   * machine and its store are not used until `thaw`.
   */
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

  /** Resumes applying and flushing after `freeze`. */
  thaw(): void {
    this.#isFrozen = false;
    this.#pump();
  }

  /**
   * Stops applying and drops the queue. Then flushes the applied entries once, unless the store or
   * the log has failed. If this flush fails, it is only logged: the log still has the entries.
   */
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
      log.warn("The last flush of the state failed; the next start replays the log", { error });
    }
  }

  /**
   * Applies queued entries until the queue is empty, the turn has enough units, the time slice ends or a
   * flush is needed.
   */
  #pump(): void {
    this.#resuming = null;
    const { clock, machine, unflushedBytesMax } = this.#options;
    const sliceEndMs = clock.monotonicMs() + SLICE_MS;
    let units = 0;
    for (let count = 1; this.#queue.length > 0; count += 1) {
      if (this.#isFrozen || this.#isStopped) return;
      if (machine().unflushedBytes > unflushedBytesMax) {
        this.#startFlush(); // Applying continues when the flush ends.
        return;
      }
      if (!this.#applyNext()) return;
      units += machine().entryUnits;
      const isLate = count % ENTRIES_PER_CLOCK_READ === 0 && clock.monotonicMs() > sliceEndMs;
      if (isLate || units >= UNITS_PER_TURN) {
        this.#resuming = clock.yieldTurn().then(() => this.#pump());
        break;
      }
    }
    this.#flushIfDue();
  }

  /** Applies one entry. @returns false if the state machine cannot: the applier then stops. */
  #applyNext(): boolean {
    const batch = present(this.#queue[0], "the queue has a batch");
    const entry = present(
      batch.entries[this.#doneCount],
      "the first batch has an entry that is not applied",
    );
    const { machine, membershipAfter, onApplied, onBatch } = this.#options;
    assert(entry.index === machine().appliedIndex + 1, "entries are applied without gaps");
    const { index, term } = entry;
    // The data of entry 1 is not a command: it names the founders.
    const data = entry.kind === "normal" && index > 1 ? entry.data : NO_DATA;
    let outcome: unknown;
    try {
      const membership = membershipAfter(entry);
      outcome = machine().apply({ index, term, data, membership });
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      this.#fail(error);
      return false;
    }
    assert(machine().appliedIndex === index, "the state machine has applied the entry");
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

  /** Starts a flush if enough bytes have accumulated, else sets the timer of the next flush. */
  #flushIfDue(): void {
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
      if (this.#isFull) log.info("The disk of the state has space again");
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
      // The failed commit changed nothing in the store, and the log still holds the entries.
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
