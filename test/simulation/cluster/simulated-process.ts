import { assert } from "../../../shared/base/assert.ts";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import type { Disk } from "../../../shared/ports/disk.ts";
import type { Env } from "../../../shared/ports/env.ts";
import { MemoryDisk } from "../../support/memory-disk.ts";
import type { DiskOperation } from "../../support/mounted-file.ts";
import { ProcessClock } from "../../support/process-clock.ts";
import { HashedStores } from "./hashed-stores.ts";
import type { World } from "./simulation-environment.ts";
import type { Dice } from "./simulation-random.ts";
import { Violation } from "./violation.ts";

/** One life of a process. */
export interface Life {
  readonly number: number;
  readonly clock: ProcessClock;
  readonly env: Env;
  readonly disk: Disk;
  readonly stores: HashedStores;
  /** The process cannot go on and would exit. */
  readonly onFatal: (error: unknown) => void;
}

/** What starts when the process does, and is disposed when it is stopped in peace. */
export type Launch<Running> = (life: Life) => Promise<Running>;

export type ProcessState = "down" | "starting" | "up" | "stopping" | "failed";

const READ_MS = { min: 0.02, max: 0.1 };
const WRITE_MS = { min: 0.02, max: 0.2 };
const SYNC_MS = { min: 0.2, max: 3 };
const COMMIT_MS = { min: 0.5, max: 4 };
/** Clocks of real machines drift by 200 ppm at most; ours by more. */
const DRIFT_MAX = 0.02;
const WALL_OFFSET_MS_MAX = 5_000;

/**
 * A machine with a disk and one process on it, which starts, stops, stands still, dies and comes
 * back. `Running` is production code.
 */
export class SimulatedProcess<Running extends AsyncDisposable> {
  readonly host: string;
  readonly world: World;
  disk: MemoryDisk;
  stores: HashedStores;
  /** What the disk answers instead of doing it. */
  diskFault: (operation: DiskOperation) => "EIO" | "ENOSPC" | null = () => null;
  /** Undefined: everything fits. */
  capacityBytes: number | undefined = undefined;
  state: ProcessState = "down";
  /** Something ran in it since this was last set to false. */
  hasRun = false;
  /** It stays down: somebody looks after it. */
  isHeld = false;
  /** Whether it may give up for this reason: what was done to it explains it. */
  isExcused: (error: unknown) => boolean = () => false;
  /** Told when it is down or has failed. */
  onEnd: () => void = () => {};
  /** What runs, once it has started. */
  running: Running | null = null;
  /** Why the last start failed, or why the process gave up. */
  lastError: unknown = null;
  readonly #launch: Launch<Running>;
  readonly #dice: Dice;
  #life: Life | null = null;
  #lifeCount = 0;

  constructor(world: World, host: string, launch: Launch<Running>) {
    this.world = world;
    this.host = host;
    this.#launch = launch;
    this.#dice = world.dice(`process ${host}`);
    this.disk = this.#makeDisk();
    this.stores = this.#makeStores();
  }

  get lifeCount(): number {
    return this.#lifeCount;
  }

  get isUp(): boolean {
    return this.state === "up";
  }

  get clock(): ProcessClock | null {
    return this.#life?.clock ?? null;
  }

  start(): void {
    assert(this.state === "down", "a process that is down is started");
    this.#lifeCount += 1;
    const life = this.#makeLife();
    this.#life = life;
    this.state = "starting";
    this.world.network.boot(this.host);
    this.world.trace.note(this.host, `starts, life ${life.number}`);
    this.#launch(life).then(
      (running) => {
        if (this.#life !== life || this.state === "failed") return;
        this.running = running;
        this.state = "up";
        this.world.trace.note(this.host, "is up");
      },
      (error: unknown) => {
        if (this.#life === life) this.#giveUp(error);
      },
    );
  }

  /** SIGTERM. The process is down once it has ended by itself. */
  stop(): void {
    const { running } = this;
    const life = this.#life;
    assert(this.state === "up" && running !== null, "a process that is up is stopped");
    this.state = "stopping";
    this.world.trace.note(this.host, "is asked to stop");
    running[Symbol.asyncDispose]().then(
      () => {
        if (this.#life !== life || this.state !== "stopping") return;
        this.#end();
        this.world.network.kill(this.host);
        this.world.trace.note(this.host, "has stopped");
      },
      (error: unknown) => {
        if (this.#life === life) this.#giveUp(error);
      },
    );
  }

  /** SIGKILL: what was written is in the system's cache and stays. */
  kill(): void {
    if (this.#life === null) return;
    this.world.trace.note(this.host, "is killed");
    this.#end();
    this.world.network.kill(this.host);
  }

  /** What was not synced is lost, or half of it. */
  cutPower(): void {
    this.world.trace.note(this.host, "loses power");
    this.#end();
    this.disk.crash(this.#dice);
    this.world.network.crash(this.host);
  }

  /** What is down gets an empty disk. */
  loseDisk(): void {
    assert(this.state === "down", "a disk is changed while the machine is off");
    const { onCommitted } = this.stores;
    this.disk = this.#makeDisk();
    this.stores = this.#makeStores();
    this.stores.onCommitted = onCommitted;
  }

  /** What is down finds the directory of its stores gone; the rest of its disk stays. */
  loseStores(): void {
    assert(this.state === "down", "a directory is removed while nobody uses it");
    const { onCommitted } = this.stores;
    this.stores = this.#makeStores();
    this.stores.onCommitted = onCommitted;
  }

  freeze(): void {
    this.world.trace.note(this.host, "stands still");
    this.#life?.clock.freeze();
    this.world.network.freeze(this.host);
  }

  /** It stands still for so long, or until its life ends. */
  freezeFor(durationMs: number): void {
    const life = this.#lifeCount;
    this.freeze();
    this.world.clock.after(durationMs, () => {
      if (this.#lifeCount === life) this.thaw();
    });
  }

  thaw(): void {
    if (this.#life?.clock.isFrozen !== true) return;
    this.world.trace.note(this.host, "goes on");
    this.#life.clock.thaw();
    this.world.network.thaw(this.host);
  }

  /** A process that gives up: only a broken or full disk, which we broke, may be the reason. */
  #giveUp(error: unknown): void {
    this.lastError = error;
    this.state = "failed";
    const text = error instanceof Error ? error.message : String(error);
    this.world.trace.note(this.host, `gives up: ${text}`);
    this.onEnd();
    const isOurs = isAshlarError(error) && ["DISK_FAILED", "NO_SPACE"].includes(error.code);
    if (isOurs || this.isExcused(error)) return;
    const options = { cause: error };
    this.world.fail(new Violation(`${this.host} gives up: ${text}`, [this.host], options));
  }

  #makeDisk(): MemoryDisk {
    const capacity = (): number | undefined => this.capacityBytes;
    return new MemoryDisk({
      get capacityBytes() {
        return capacity();
      },
      fault: (operation) => this.diskFault(operation),
    });
  }

  #makeStores(): HashedStores {
    return new HashedStores({
      beforeCommit: async () => {
        const { clock } = this.#currentLife();
        await clock.sleep(this.#latency(COMMIT_MS));
        const errno = this.diskFault({ kind: "sync", path: "stores" });
        if (errno !== null) throw storeFailure(errno);
      },
    });
  }

  #end(): void {
    this.#life?.clock.kill();
    this.#life = null;
    this.running = null;
    this.state = "down";
    this.disk.unmount();
    this.stores.crash(() => this.#dice.isBelow(0.5));
    this.onEnd();
  }

  #makeLife(): Life {
    const dice = this.#dice;
    const clock = new ProcessClock(this.world.clock, {
      rate: 1 + dice.between(-DRIFT_MAX, DRIFT_MAX),
      wallOffsetMs: dice.between(-WALL_OFFSET_MS_MAX, WALL_OFFSET_MS_MAX),
      onRun: () => {
        this.hasRun = true;
        this.world.lastHost = this.host;
      },
    });
    const number = this.#lifeCount;
    const random = this.world.dice(`chance of ${this.host}, life ${number}`);
    const life: Life = {
      number,
      clock,
      env: this.world.envOf(this.host, clock, random),
      disk: this.disk.mount((operation) => this.#diskTakes(operation, clock)),
      stores: this.stores,
      onFatal: (error) => {
        if (this.#life === life) this.#giveUp(error);
      },
    };
    return life;
  }

  #diskTakes({ kind, path }: DiskOperation, clock: ProcessClock): Promise<void> {
    this.world.trace.mix(kind.length * 1000 + path.length);
    if (kind === "sync") return clock.sleep(this.#latency(SYNC_MS));
    const isChange = kind !== "open" && kind !== "read";
    return clock.sleep(this.#latency(isChange ? WRITE_MS : READ_MS));
  }

  #latency({ min, max }: { readonly min: number; readonly max: number }): number {
    return this.#dice.magnitude(min, max) * this.world.slownessOf(this.host);
  }

  #currentLife(): Life {
    assert(this.#life !== null, "only a process that lives commits");
    return this.#life;
  }
}

function storeFailure(errno: "EIO" | "ENOSPC"): AshlarError {
  const code = errno === "EIO" ? "DISK_FAILED" : "NO_SPACE";
  return new AshlarError(code, `Cannot commit to the store: ${errno}`);
}
