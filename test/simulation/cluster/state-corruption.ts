import type { FileSystem } from "../../../client/file-system.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { RottenRows } from "./corrupt-rows.ts";
import type { SimulatedMaster } from "./simulated-servers.ts";
import type { World } from "./simulation-environment.ts";
import type { Dice } from "./simulation-random.ts";
import { Violation } from "./violation.ts";

const AGAIN_MS = 500;
const CALL_TIMEOUT_MS = 5_000;
/** Between rot and the operator's next backup: what notices it earlier must be somebody else. */
const UNTIL_BACKUP_MS = { min: 2_000, max: 60_000 };

/** Why a master may stop that has rotten rows: each says so by itself. */
const LOUD = new Set(["STATE_DIVERGED", "STORE_CORRUPT", "VERSION_MISMATCH"]);

export interface StateRotOptions {
  /** As a client that knows no other master. */
  readonly connectTo: (master: SimulatedMaster) => Promise<FileSystem>;
  readonly dice: Dice;
  readonly isMaster: (host: string) => boolean;
  /** Gives the master a good state. Resolves when it has been seen to. */
  readonly mend: (master: SimulatedMaster) => Promise<void>;
}

/**
 * Rows of one master's state that rot at rest, and what is promised then (docs/decisions/0009):
 *
 * - the other masters keep the right state, whatever this one answers, sends and proposes;
 * - it stops itself, loudly, when a row cannot be decoded, at a checkpoint after it has written what
 *   follows from a rotten row, and when it reads all rows: for a follower, and for a backup.
 *
 * Until then it answers what its disk says: while it leads, or is asked as a follower, and has read
 * such a row, clients may be told what is not so. Those answers count as none.
 */
export class StateRot {
  readonly #world: World;
  readonly #options: StateRotOptions;
  #master: SimulatedMaster | null = null;
  #rotten: RottenRows | null = null;
  #hasDiverged = false;
  #wasLeading = false;
  #isMending = false;
  /** Nothing is broken any more: the backup is taken now. */
  isHurried = false;
  /** How it was noticed, by the code of what the master said. */
  readonly noticed = new Map<string, number>();

  constructor(world: World, options: StateRotOptions) {
    this.#world = world;
    this.#options = options;
    world.isTainted = (host) => {
      return this.#master !== null && this.#master.host === host && this.isTainted(this.#master);
    };
    world.onHeard = (host, from) => {
      if (world.isTainted(from) && !options.isMaster(host)) this.#noteMisled();
    };
  }

  get task(): string | null {
    return this.#master === null ? null : `the state of ${this.#master.host} is rotten`;
  }

  /** Whether what the master has is not what the others have, as it may be. */
  isTainted(master: SimulatedMaster): boolean {
    return this.#master === master && this.#rotten?.wasRead === true;
  }

  /** @returns whether a bit has turned over */
  begin(master: SimulatedMaster): boolean {
    const { running } = master;
    const store = running === null ? undefined : master.stores.opened(running.stateName());
    const { dice } = this.#options;
    const what = store?.rot(dice) ?? null;
    if (store === undefined || what === null) return false;
    this.#world.trace.note(master.host, `its state rots: ${what}`);
    this.#master = master;
    this.#rotten = store.rotten;
    this.#hasDiverged = false;
    this.#wasLeading = false;
    master.isExcused = (error) => this.#onGivenUp(master, error);
    // Else what it keeps in memory may hide it for long.
    if (dice.isBelow(0.5)) master.cutPower();
    const { clock } = this.#world;
    const { min, max } = UNTIL_BACKUP_MS;
    const waitsUntilMs = clock.monotonicMs() + dice.magnitude(min, max);
    this.#keep(this.#backUp(master, waitsUntilMs));
    return true;
  }

  /** After every event: whether anybody may be misled by it. */
  look(): void {
    const master = this.#master;
    if (master === null) return;
    this.#considerHealed(master);
    const isLeading = master.running?.master.consensus.status().role === "leader";
    if (this.isTainted(master)) {
      if (isLeading || this.#wasLeading) this.#noteMisled();
      else this.#world.doubt = { ...this.#world.doubt, taintedMs: this.#world.clock.monotonicMs() };
    }
    this.#wasLeading = isLeading;
  }

  #noteMisled(): void {
    const nowMs = this.#world.clock.monotonicMs();
    this.#world.doubt = { taintedMs: nowMs, misledMs: nowMs };
  }

  /** It has committed a state that nobody else has. */
  noteDivergence(): void {
    if (!this.#hasDiverged) this.#world.trace.note("world", `${this.#master?.host} has diverged`);
    this.#hasDiverged = true;
  }

  /** An assertion of the product stops the process that it is in. @returns whether it did */
  takes(error: unknown): boolean {
    const master = this.#master;
    if (master === null || error instanceof Violation || !this.isTainted(master)) return false;
    if (this.#world.lastHost !== master.host || master.state === "down") return false;
    const text = error instanceof Error ? error.message : String(error);
    this.#world.trace.note(master.host, `crashes: ${text}`);
    master.kill();
    this.#onNoticed(master, "crash");
    return true;
  }

  /** The state was rebuilt, or the rotten row was written anew before anybody read it. */
  #considerHealed(master: SimulatedMaster): void {
    const { running } = master;
    if (running === null || this.#isMending || this.#rotten === null) return;
    const now = master.stores.opened(running.stateName())?.rotten;
    const isUnread = this.#rotten.isEmpty && !this.#rotten.wasRead;
    if (now !== this.#rotten) this.#end(master, "has another state now");
    else if (isUnread) this.#end(master, "has written the rotten row anew");
  }

  #end(master: SimulatedMaster, how: string): void {
    this.#world.trace.note(master.host, how);
    this.#master = null;
    this.#rotten = null;
    master.isExcused = () => false;
  }

  #onGivenUp(master: SimulatedMaster, error: unknown): boolean {
    if (this.#master !== master) return false;
    const isLoud = isAshlarError(error) && LOUD.has(error.code);
    // A slip of the code over a value that cannot be: as loud.
    const isCrash = !isAshlarError(error) && this.isTainted(master);
    if (isLoud || isCrash) this.#onNoticed(master, isLoud ? error.code : "crash");
    return isLoud || isCrash;
  }

  #onNoticed(master: SimulatedMaster, how: string): void {
    this.noticed.set(how, (this.noticed.get(how) ?? 0) + 1);
    if (this.#isMending) return;
    this.#isMending = true;
    this.#world.clock.after(AGAIN_MS, () => this.#keep(this.#mend(master)));
  }

  async #mend(master: SimulatedMaster): Promise<void> {
    await this.#options.mend(master);
    this.#isMending = false;
    this.#end(master, "is given a good state");
  }

  /** What nobody has noticed, a backup from that master does. */
  async #backUp(master: SimulatedMaster, waitsUntilMs: number): Promise<void> {
    const { clock } = this.#world;
    const rotten = this.#rotten;
    const isOver = (): boolean => this.#rotten !== rotten || this.#isMending;
    while (!isOver()) {
      const isTime = this.isHurried || clock.monotonicMs() >= waitsUntilMs;
      if (isTime && (await this.#isGoodBackup(master))) {
        if (isOver()) return;
        if (rotten?.isEmpty !== true) {
          throw new Violation(`A backup was made of the rotten state of ${master.host}`);
        }
        // The row was written anew, and the sum says that it is as it should be.
        if (!this.#hasDiverged) this.#end(master, "has a good state after all");
        return;
      }
      await clock.sleep(AGAIN_MS);
    }
  }

  /** Whether that master gave a whole backup of a state that was as rotten as it is. */
  async #isGoodBackup(master: SimulatedMaster): Promise<boolean> {
    const { lifeCount } = master;
    const wasEmpty = this.#rotten?.isEmpty;
    try {
      await using fs = await this.#options.connectTo(master);
      for await (const _part of fs.backup({ timeoutMs: CALL_TIMEOUT_MS })) {
        // Only whether it comes to its end counts.
      }
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      this.#world.trace.note("world", `the backup fails: ${error.message}`);
      return false;
    }
    return master.lifeCount === lifeCount && this.#rotten?.isEmpty === wasEmpty;
  }

  #keep(work: Promise<void>): void {
    work.catch((error: unknown) => {
      const text = error instanceof Error ? error.message : String(error);
      const violation = error instanceof Violation ? error : new Violation(text);
      this.#world.fail(violation);
    });
  }
}
