import { AshlarError } from "../../shared/base/errors.ts";
import type { Clock, Timer } from "../../shared/ports/clock.ts";

/** True in the details of the error of an operation that was not started. */
export const NOT_STARTED = "hasNotStarted";

/** Kinds of work on the disk. A disk that hangs in one of them still does the others. */
export type DiskWork = "read" | "write" | "upkeep" | "commit";

/**
 * Operations at once. The sum leaves threads of the pool of Node free for everything else, such as the
 * names of the masters: the launcher (scripts/ashlar.cjs) sets the pool to 16 threads.
 */
const AT_ONCE_MAX: Readonly<Record<DiskWork, number>> = { read: 6, write: 6, upkeep: 2, commit: 1 };

/** Dependencies and limits of `DiskLanes`. */
export interface DiskLanesOptions {
  readonly clock: Clock;
  /** Time after which an operation of the disk hangs. */
  readonly timeoutMs: number;
  /** Called once for each operation that hangs. */
  readonly onHung: (error: AshlarError) => void;
}

interface RunningOperation {
  readonly action: string;
  readonly startedMs: number;
  isHung: boolean;
}

interface QueuedOperation {
  readonly action: string;
  readonly queuedMs: number;
  readonly start: () => void;
  readonly reject: (error: AshlarError) => void;
}

/**
 * Runs a limited number of operations of each kind, so that a hung disk holds a limited number of threads.
 *
 * An operation that takes longer than `timeoutMs` is reported. It is not cancelled, and its promise
 * stays pending: the kernel may still use its buffer, which must not be used for something else. An
 * operation that waits for its start for that time fails, and so does each one while all places of its
 * kind are held by hung ones.
 */
export class DiskLanes {
  readonly #lanes: Readonly<Record<DiskWork, DiskLane>>;

  constructor(options: DiskLanesOptions) {
    const lane = (work: DiskWork): DiskLane => new DiskLane(AT_ONCE_MAX[work], options);
    this.#lanes = {
      read: lane("read"),
      write: lane("write"),
      upkeep: lane("upkeep"),
      commit: lane("commit"),
    };
  }

  /**
   * Runs `operation` as soon as its kind has a place. `action` describes it in errors.
   *
   * @throws {AshlarError} DISK_FAILED if it could not start because the disk hangs
   */
  run<Result>(work: DiskWork, action: string, operation: () => Promise<Result>): Promise<Result> {
    return this.#lanes[work].run(action, operation);
  }
}

class DiskLane {
  readonly #atOnceMax: number;
  readonly #options: DiskLanesOptions;
  readonly #running = new Set<RunningOperation>();
  /** At most one operation for each open write, each read, and each step of the upkeep: their callers bound it. */
  readonly #queue: QueuedOperation[] = [];
  /** Places of running operations, and of those that start now. */
  #takenCount = 0;
  #hungCount = 0;
  /** Checks the times while an operation runs. */
  #timer: Timer | null = null;

  constructor(atOnceMax: number, options: DiskLanesOptions) {
    this.#atOnceMax = atOnceMax;
    this.#options = options;
  }

  async run<Result>(action: string, operation: () => Promise<Result>): Promise<Result> {
    if (this.#takenCount < this.#atOnceMax) this.#takenCount += 1;
    else await this.#place(action);
    const startedMs = this.#options.clock.monotonicMs();
    const running: RunningOperation = { action, startedMs, isHung: false };
    this.#running.add(running);
    this.#timer ??= this.#checkLater();
    try {
      return await operation();
    } finally {
      this.#end(running);
    }
  }

  /** Resolves when another operation leaves its place to this one, in the order of the calls. */
  #place(action: string): Promise<void> {
    if (this.#isHung()) return Promise.reject(this.#hungError(action, { [NOT_STARTED]: true }));
    return new Promise((resolve, reject) => {
      const queuedMs = this.#options.clock.monotonicMs();
      this.#queue.push({ action, queuedMs, start: resolve, reject });
    });
  }

  #end(running: RunningOperation): void {
    this.#running.delete(running);
    if (running.isHung) this.#hungCount -= 1;
    const next = this.#queue.shift();
    if (next === undefined) this.#takenCount -= 1;
    else next.start();
    if (this.#takenCount > 0) return;
    this.#timer?.cancel();
    this.#timer = null;
  }

  #isHung(): boolean {
    return this.#hungCount >= this.#atOnceMax;
  }

  #checkLater(): Timer {
    const { clock, timeoutMs } = this.#options;
    return clock.after(timeoutMs / 4, () => {
      this.#timer = this.#checkLater();
      this.#check();
    });
  }

  #check(): void {
    const { clock, timeoutMs, onHung } = this.#options;
    const hungSinceMs = clock.monotonicMs() - timeoutMs;
    for (const running of this.#running) {
      if (running.isHung || running.startedMs > hungSinceMs) continue;
      running.isHung = true;
      this.#hungCount += 1;
      onHung(this.#hungError(running.action));
    }
    while (this.#queue.length > 0) {
      const first = this.#queue[0];
      if (first === undefined || (!this.#isHung() && first.queuedMs > hungSinceMs)) return;
      this.#queue.shift();
      first.reject(this.#hungError(first.action, { [NOT_STARTED]: true }));
    }
  }

  #hungError(action: string, details: Readonly<Record<string, true>> = {}): AshlarError {
    return new AshlarError(
      "DISK_FAILED",
      `Cannot ${action}: the disk has not answered for ${this.#options.timeoutMs} ms`,
      { details },
    );
  }
}
