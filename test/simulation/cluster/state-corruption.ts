import type { FileSystem } from "../../../client/file-system.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { CorruptRows } from "./corrupt-rows.ts";
import type { SimulatedMaster } from "./simulated-servers.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";
import type { SimulationRandom } from "./simulation-random.ts";
import { Violation } from "./violation.ts";

const RETRY_MS = 500;
const CALL_TIMEOUT_MS = 5_000;
/**
 * Time between the corruption and the backup that detects it, if no other check has detected it.
 */
const BACKUP_DELAY_MS = { min: 2_000, max: 60_000 };

/** Error codes with which a master with corrupt rows may stop. Each one reports the corruption. */
const DETECTION_CODES = new Set(["STATE_DIVERGED", "STORE_CORRUPT", "VERSION_MISMATCH"]);

export interface StateCorruptionDeps {
  /** Connects a client to this master. The client has no address of another master. */
  readonly connectTo: (master: SimulatedMaster) => Promise<FileSystem>;
  readonly random: SimulationRandom;
  readonly isMaster: (host: string) => boolean;
  /** Gives the master a good state. Resolves when the repair is complete. */
  readonly repair: (master: SimulatedMaster) => Promise<void>;
}

/**
 * Corrupts a stored row of one master's state, and checks what docs/decisions/0009 guarantees:
 *
 * - The other masters keep a good state, regardless of the messages of this master.
 * - This master stops with an error that reports the corruption: when it cannot decode a row, at a
 *   checkpoint after it has written rows that depend on a corrupt row, and when it reads all rows
 *   for the snapshot of a follower or for a backup.
 *
 * Before that, the master answers with the rows that it reads. A master that has read a corrupt row
 * is *affected*. While an affected master leads, or answers as a follower, clients may receive
 * wrong answers. The workload discards these answers.
 */
export class StateCorruption {
  readonly #environment: SimulationEnvironment;
  readonly #deps: StateCorruptionDeps;
  /** The master with the corrupt state. Null: no state is corrupt. */
  #master: SimulatedMaster | null = null;
  /** The corrupt rows of the store with the state. */
  #corruptRows: CorruptRows | null = null;
  /** Whether the master has committed rows that differ from the rows of the other masters. */
  #hasDiverged = false;
  #wasLeading = false;
  #isRepairing = false;
  /** Set at the end of the fault phase: the backup is taken without further delay. */
  isBackupDue = false;
  /** Number of detections by error code. "crash": a failed assertion or an unexpected error. */
  readonly detections = new Map<string, number>();

  constructor(environment: SimulationEnvironment, deps: StateCorruptionDeps) {
    this.#environment = environment;
    this.#deps = deps;
    environment.isAffected = (host) => {
      return this.#master !== null && this.#master.host === host && this.isAffected(this.#master);
    };
    environment.onReceive = (host, from) => {
      if (environment.isAffected(from) && !deps.isMaster(host)) this.#recordMisleading();
    };
  }

  /** Description of the corruption that is not repaired. Null: there is none. */
  get pendingTask(): string | null {
    return this.#master === null ? null : `the state of ${this.#master.host} is corrupt`;
  }

  /**
   * Returns whether the master has read a corrupt row, so that its memory and rows may be wrong.
   */
  isAffected(master: SimulatedMaster): boolean {
    return this.#master === master && this.#corruptRows?.wasRead === true;
  }

  /** Corrupts a row of the master's state. @returns false if the master has no open state */
  start(master: SimulatedMaster): boolean {
    const { running } = master;
    const store = running === null ? undefined : master.stores.lastOpened(running.stateName());
    const { random } = this.#deps;
    const description = store?.corruptRandomRow(random) ?? null;
    if (store === undefined || description === null) return false;
    this.#environment.trace.note(master.host, `state corruption: ${description}`);
    this.#master = master;
    this.#corruptRows = store.corruptRows;
    this.#hasDiverged = false;
    this.#wasLeading = false;
    master.isExpectedFailure = (error) => this.#isExpectedFailure(master, error);
    // Without a restart, the caches of the process can hide the corruption for a long time.
    if (random.chance(0.5)) master.cutPower();
    const { clock } = this.#environment;
    const { min, max } = BACKUP_DELAY_MS;
    const backupAtMs = clock.monotonicMs() + random.logUniform(min, max);
    this.#reportFailureOf(this.#detectByBackup(master, backupAtMs));
    return true;
  }

  /** Updates `corruptionTimes`, and ends after a repair. Must be called after every event. */
  update(): void {
    const master = this.#master;
    if (master === null) return;
    this.#endIfReplaced(master);
    const isLeading = master.running?.master.consensus.status().role === "leader";
    const isMisleading = isLeading || this.#wasLeading;
    if (this.isAffected(master)) {
      if (isMisleading) this.#recordMisleading();
      else this.#recordAffected();
    }
    this.#wasLeading = isLeading;
  }

  #recordAffected(): void {
    const { clock, corruptionTimes } = this.#environment;
    const lastAffectedMs = clock.monotonicMs();
    this.#environment.corruptionTimes = { ...corruptionTimes, lastAffectedMs };
  }

  #recordMisleading(): void {
    const nowMs = this.#environment.clock.monotonicMs();
    this.#environment.corruptionTimes = { lastAffectedMs: nowMs, lastMisleadingMs: nowMs };
  }

  /** Records that the committed state of the master differs from the state of the other masters. */
  recordDivergence(): void {
    if (!this.#hasDiverged) {
      this.#environment.trace.note("simulation", `the state of ${this.#master?.host} has diverged`);
    }
    this.#hasDiverged = true;
  }

  /**
   * Handles an unexpected error: if the affected master ran last, its process is killed, as a
   * failed assertion of the product does.
   *
   * @returns whether the corruption explains the error
   */
  excuseCrash(error: unknown): boolean {
    const master = this.#master;
    if (master === null || error instanceof Violation || !this.isAffected(master)) return false;
    if (this.#environment.lastActiveHost !== master.host || master.state === "down") return false;
    const text = error instanceof Error ? error.message : String(error);
    this.#environment.trace.note(master.host, `crashes: ${text}`);
    master.kill();
    this.#onDetected(master, "crash");
    return true;
  }

  /** Ends if the state was replaced, or if the corrupt row was overwritten before it was read. */
  #endIfReplaced(master: SimulatedMaster): void {
    const { running } = master;
    if (running === null || this.#isRepairing || this.#corruptRows === null) return;
    const now = master.stores.lastOpened(running.stateName())?.corruptRows;
    const isUnread = this.#corruptRows.isEmpty && !this.#corruptRows.wasRead;
    if (now !== this.#corruptRows) this.#end(master, "has replaced its state");
    else if (isUnread) this.#end(master, "has overwritten the corrupt row");
  }

  #end(master: SimulatedMaster, reason: string): void {
    this.#environment.trace.note(master.host, reason);
    this.#master = null;
    this.#corruptRows = null;
    master.isExpectedFailure = () => false;
  }

  #isExpectedFailure(master: SimulatedMaster, error: unknown): boolean {
    if (this.#master !== master) return false;
    const isReported = isAshlarError(error) && DETECTION_CODES.has(error.code);
    // An unexpected error, for instance a TypeError over an impossible value, is a detection, too.
    const isCrash = !isAshlarError(error) && this.isAffected(master);
    if (isReported || isCrash) this.#onDetected(master, isReported ? error.code : "crash");
    return isReported || isCrash;
  }

  /** Counts a detection and starts the repair. */
  #onDetected(master: SimulatedMaster, detector: string): void {
    this.detections.set(detector, (this.detections.get(detector) ?? 0) + 1);
    if (this.#isRepairing) return;
    this.#isRepairing = true;
    this.#environment.clock.after(RETRY_MS, () => this.#reportFailureOf(this.#repair(master)));
  }

  async #repair(master: SimulatedMaster): Promise<void> {
    await this.#deps.repair(master);
    this.#isRepairing = false;
    this.#end(master, "has received a good state");
  }

  /**
   * Takes a backup from the master at `backupAtMs`. It must detect a corruption that no other check
   * has detected. Resolves when the corruption was detected or is gone.
   *
   * @throws {Violation} if the backup succeeds although the state has a corrupt row
   */
  async #detectByBackup(master: SimulatedMaster, backupAtMs: number): Promise<void> {
    const { clock } = this.#environment;
    const corruptRows = this.#corruptRows;
    const hasEnded = (): boolean => this.#corruptRows !== corruptRows || this.#isRepairing;
    while (!hasEnded()) {
      const isTime = this.isBackupDue || clock.monotonicMs() >= backupAtMs;
      if (isTime && (await this.#tryBackup(master))) {
        if (hasEnded()) return;
        if (corruptRows?.isEmpty !== true) {
          throw new Violation(`A backup of the corrupt state of ${master.host} succeeded`);
        }
        // The corrupt row was overwritten, and the state hash confirms that all rows are good.
        if (!this.#hasDiverged) this.#end(master, "has a good state again");
        return;
      }
      await clock.sleep(RETRY_MS);
    }
  }

  /** Returns whether the master gave a complete backup and its corrupt rows did not change. */
  async #tryBackup(master: SimulatedMaster): Promise<boolean> {
    const { runCount } = master;
    const wasEmpty = this.#corruptRows?.isEmpty;
    try {
      await using fs = await this.#deps.connectTo(master);
      for await (const _part of fs.backup({ timeoutMs: CALL_TIMEOUT_MS })) {
        // Only the end of the backup is relevant.
      }
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      this.#environment.trace.note("simulation", `backup fails: ${error.message}`);
      return false;
    }
    return master.runCount === runCount && this.#corruptRows?.isEmpty === wasEmpty;
  }

  #reportFailureOf(work: Promise<void>): void {
    work.catch((error: unknown) => {
      const text = error instanceof Error ? error.message : String(error);
      const violation = error instanceof Violation ? error : new Violation(text);
      this.#environment.reportViolation(violation);
    });
  }
}
