import { assert } from "../../../shared/base/assert.ts";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import type { StoresImage } from "../../../shared/platform/memory-store.ts";
import type { Disk } from "../../../shared/ports/disk.ts";
import type { Env } from "../../../shared/ports/env.ts";
import type { StoreChange } from "../../../shared/ports/ordered-store.ts";
import { MemoryDisk, type MemoryDiskOptions } from "../../support/memory-disk.ts";
import type { DiskOperation } from "../../support/mounted-file.ts";
import { ProcessClock } from "../../support/process-clock.ts";
import { HashedStores } from "./hashed-stores.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";
import type { SimulationRandom } from "./simulation-random.ts";
import { Violation } from "./violation.ts";

/** One run of a process, from its start to its end, with everything that its code may use. */
export interface ProcessRun {
  /** 1 for the first run of the process. */
  readonly number: number;
  readonly clock: ProcessClock;
  readonly env: Env;
  readonly disk: Disk;
  readonly stores: HashedStores;
  /** Called when the process cannot continue and a real one would exit. */
  readonly onFatal: (error: unknown) => void;
}

/** The content of a disk at one time. */
export interface DiskImage {
  readonly disk: MemoryDisk;
  readonly stores: StoresImage;
}

/** Starts the production code of a process. A graceful stop disposes the result. */
export type Launch<Running> = (run: ProcessRun) => Promise<Running>;

/** `failed`: the process cannot continue, and must be stopped before it is started again. */
export type ProcessState = "down" | "starting" | "up" | "stopping" | "failed";

const READ_MS = { min: 0.02, max: 0.1 };
const WRITE_MS = { min: 0.02, max: 0.2 };
const SYNC_MS = { min: 0.2, max: 3 };
const COMMIT_MS = { min: 0.5, max: 4 };
/** Upper bound of the clock drift, as a share. Real clocks drift by at most 200 ppm. */
const DRIFT_MAX = 0.02;
const WALL_OFFSET_MS_MAX = 5_000;

/**
 * A machine with a disk and one process, which can be started, stopped, paused and killed, and can
 * lose power. `Running` is the production code of the started process.
 */
export class SimulatedProcess<Running extends AsyncDisposable> {
  readonly host: string;
  readonly environment: SimulationEnvironment;
  disk: MemoryDisk;
  stores: HashedStores;
  /** Returns the error with which a disk operation fails. Null: the operation succeeds. */
  diskFault: (operation: DiskOperation) => "EIO" | "ENOSPC" | null = () => null;
  /** Awaited before each commit to a store. Null: no commit is delayed. */
  beforeCommit: ((changes: readonly StoreChange[], store: string) => Promise<void>) | null = null;
  /** Capacity of the disk. Undefined: unlimited. */
  capacityBytes: number | undefined = undefined;
  state: ProcessState = "down";
  /** Whether code of the process ran since a check last set this to false. */
  hasRun = false;
  /** Whether automatic restarts are disabled, because the operator repairs the machine. */
  isKeptDown = false;
  /** Returns whether an injected fault explains that the process failed with this error. */
  isExpectedFailure: (error: unknown) => boolean = () => false;
  /** Called when the process is down or has failed. */
  onEnd: () => void = () => {};
  /** The production code. Null before it has started and after the process has ended. */
  running: Running | null = null;
  /** The error with which the last start or the last run failed. */
  lastError: unknown = null;
  readonly #launch: Launch<Running>;
  readonly #random: SimulationRandom;
  #run: ProcessRun | null = null;
  #runCount = 0;

  constructor(environment: SimulationEnvironment, host: string, launch: Launch<Running>) {
    this.environment = environment;
    this.host = host;
    this.#launch = launch;
    this.#random = environment.randomFor(`process ${host}`);
    this.disk = new MemoryDisk(this.#diskOptions());
    this.stores = this.#makeStores();
  }

  /** Number of starts. Equal values mean the same run. */
  get runCount(): number {
    return this.#runCount;
  }

  /** Whether the process has started and neither stops nor has failed. */
  get isUp(): boolean {
    return this.state === "up";
  }

  /** The clock of the current run. Null while the process is down. */
  get clock(): ProcessClock | null {
    return this.#run?.clock ?? null;
  }

  /** Starts the process. The state is `starting` until the production code has started. */
  start(): void {
    assert(this.state === "down", "only a process that is down is started");
    this.#runCount += 1;
    const run = this.#createRun();
    this.#run = run;
    this.state = "starting";
    this.environment.network.boot(this.host);
    this.environment.trace.note(this.host, `starts, run ${run.number}`);
    this.#launch(run).then(
      (running) => {
        if (this.#run !== run || this.state === "failed") return;
        this.running = running;
        this.state = "up";
        this.environment.trace.note(this.host, "is up");
      },
      (error: unknown) => {
        if (this.#run === run) this.#fail(error);
      },
    );
  }

  /** Stops the process gracefully (SIGTERM). The process is down when its code has stopped. */
  stop(): void {
    const { running } = this;
    const run = this.#run;
    assert(
      this.state === "up" && running !== null,
      "only a process that is up is stopped gracefully",
    );
    this.state = "stopping";
    this.environment.trace.note(this.host, "is asked to stop");
    running[Symbol.asyncDispose]().then(
      () => {
        if (this.#run !== run || this.state !== "stopping") return;
        this.#end();
        this.environment.network.kill(this.host);
        this.environment.trace.note(this.host, "stopped");
      },
      (error: unknown) => {
        if (this.#run === run) this.#fail(error);
      },
    );
  }

  /** Kills the process (SIGKILL). Written data survives in the cache of the operating system. */
  kill(): void {
    if (this.#run === null) return;
    this.environment.trace.note(this.host, "is killed");
    this.#end();
    this.environment.network.kill(this.host);
  }

  /** Cuts the power of the machine. Any subset of the unsynced data is lost. */
  cutPower(): void {
    this.environment.trace.note(this.host, "loses power");
    this.#end();
    this.disk.crash(this.#random);
    this.environment.network.crash(this.host);
  }

  /** Returns an image of the disk: what would survive a power failure now. */
  takeImage(): DiskImage {
    return { disk: this.disk.image(), stores: this.stores.image() };
  }

  /** Sets the disk back to an image. The process must be down. */
  setBack(image: DiskImage): void {
    assert(this.state === "down", "a disk is set back only while the process is down");
    const { onCommitted } = this.stores;
    this.disk = image.disk.image(this.#diskOptions());
    this.stores = this.#makeStores(image.stores);
    this.stores.onCommitted = onCommitted;
  }

  /** Replaces the disk with an empty one. The process must be down. */
  replaceDisk(): void {
    assert(this.state === "down", "a disk is replaced only while the process is down");
    const { onCommitted } = this.stores;
    this.disk = new MemoryDisk(this.#diskOptions());
    this.stores = this.#makeStores();
    this.stores.onCommitted = onCommitted;
  }

  /** Removes the stores. The rest of the disk is kept. The process must be down. */
  removeStores(): void {
    assert(this.state === "down", "the stores are removed only while the process is down");
    const { onCommitted } = this.stores;
    this.stores = this.#makeStores();
    this.stores.onCommitted = onCommitted;
  }

  /** Pauses the process (SIGSTOP). The operating system still receives data for it. */
  freeze(): void {
    this.environment.trace.note(this.host, "is paused");
    this.#run?.clock.freeze();
    this.environment.network.freeze(this.host);
  }

  /** Pauses the process for `durationMs`, or until its run ends. */
  freezeFor(durationMs: number): void {
    const run = this.#runCount;
    this.freeze();
    this.environment.clock.after(durationMs, () => {
      if (this.#runCount === run) this.thaw();
    });
  }

  /** Resumes a paused process (SIGCONT). No effect if it is not paused. */
  thaw(): void {
    if (this.#run?.clock.isFrozen !== true) return;
    this.environment.trace.note(this.host, "resumes");
    this.#run.clock.thaw();
    this.environment.network.thaw(this.host);
  }

  /**
   * Handles a process that cannot continue. It is a violation unless an injected fault explains it:
   * a failing or full disk, or an error that `isExpectedFailure` accepts.
   */
  #fail(error: unknown): void {
    this.lastError = error;
    this.state = "failed";
    const text = error instanceof Error ? error.message : String(error);
    this.environment.trace.note(this.host, `fails: ${text}`);
    this.onEnd();
    const isDiskFault = isAshlarError(error) && ["DISK_FAILED", "NO_SPACE"].includes(error.code);
    if (isDiskFault || this.isExpectedFailure(error)) return;
    const options = { cause: error };
    this.environment.reportViolation(
      new Violation(`${this.host} fails: ${text}`, [this.host], options),
    );
  }

  #diskOptions(): MemoryDiskOptions {
    const capacity = (): number | undefined => this.capacityBytes;
    return {
      get capacityBytes() {
        return capacity();
      },
      fault: (operation) => this.diskFault(operation),
    };
  }

  #makeStores(image: StoresImage = new Map()): HashedStores {
    return new HashedStores({
      image,
      beforeCommit: async (name, changes) => {
        const { clock } = this.#currentRun();
        await clock.sleep(this.#latency(COMMIT_MS));
        if (this.beforeCommit !== null) await this.beforeCommit(changes, name);
        const errno = this.diskFault({ kind: "sync", path: "stores" });
        if (errno !== null) throw storeFailure(errno);
      },
    });
  }

  /** Ends the run: no code of the process runs after it, and unsynced commits may be lost. */
  #end(): void {
    this.#run?.clock.kill();
    this.#run = null;
    this.running = null;
    this.state = "down";
    this.disk.unmount();
    this.stores.crash(() => this.#random.chance(0.5));
    this.onEnd();
  }

  #createRun(): ProcessRun {
    const random = this.#random;
    const clock = new ProcessClock(this.environment.clock, {
      rate: 1 + random.uniform(-DRIFT_MAX, DRIFT_MAX),
      wallOffsetMs: random.uniform(-WALL_OFFSET_MS_MAX, WALL_OFFSET_MS_MAX),
      onRun: () => {
        this.hasRun = true;
        this.environment.lastActiveHost = this.host;
      },
    });
    const number = this.#runCount;
    // This string is a seed. It must not change (SimulationRandom.forPurpose).
    const envRandom = this.environment.randomFor(`chance of ${this.host}, life ${number}`);
    const run: ProcessRun = {
      number,
      clock,
      env: this.environment.createEnv(this.host, clock, envRandom),
      disk: this.disk.mount((operation) => this.#diskDelay(operation, clock)),
      stores: this.stores,
      onFatal: (error) => {
        if (this.#run === run) this.#fail(error);
      },
    };
    return run;
  }

  /** Sleeps for the duration of a disk operation. */
  #diskDelay({ kind, path }: DiskOperation, clock: ProcessClock): Promise<void> {
    this.environment.trace.mix(kind.length * 1000 + path.length);
    if (kind === "sync") return clock.sleep(this.#latency(SYNC_MS));
    const isChange = kind !== "open" && kind !== "read";
    return clock.sleep(this.#latency(isChange ? WRITE_MS : READ_MS));
  }

  #latency({ min, max }: { readonly min: number; readonly max: number }): number {
    return this.#random.logUniform(min, max) * this.environment.slowdownFactorOf(this.host);
  }

  #currentRun(): ProcessRun {
    assert(this.#run !== null, "only a started process commits");
    return this.#run;
  }
}

function storeFailure(errno: "EIO" | "ENOSPC"): AshlarError {
  const code = errno === "EIO" ? "DISK_FAILED" : "NO_SPACE";
  return new AshlarError(code, `Cannot commit to the store: ${errno}`);
}
