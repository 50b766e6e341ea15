import type { FileSystem } from "../../../client/file-system.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { Dice } from "./dice.ts";
import { masterAddress, type SimulatedMaster } from "./simulated-servers.ts";
import { StateRot } from "./state-rot.ts";
import { Violation } from "./violation.ts";
import type { World } from "./world.ts";

const CALL_TIMEOUT_MS = 5_000;
const AGAIN_MS = 500;
/** Before the bytes that rot, so many that records follow which were durable once. */
const TAIL_BYTES = 4 * 1024;

export interface OperatorOptions {
  readonly masters: readonly SimulatedMaster[];
  /** As whom the operator talks to the cluster. */
  readonly admin: () => FileSystem | null;
  /** As a client that knows no other master. */
  readonly connectTo: (master: SimulatedMaster) => Promise<FileSystem>;
  readonly leader: () => SimulatedMaster | undefined;
  readonly dice: Dice;
}

/**
 * Who looks after the masters: hands leadership over, and replaces a master whose disk is lost by
 * a new one with an empty disk at the same address, as `ashlar master remove` and `add` do.
 *
 * One master at a time has a bad disk: what a majority has lost nobody can bring back.
 */
export class Operator {
  readonly #world: World;
  readonly #options: OperatorOptions;
  #lastId: number;
  /** The master whose disk is bad, whether anybody has noticed or not. */
  #patient: SimulatedMaster | null = null;
  #isReplacing = false;
  readonly #stateDice: Dice;
  readonly rot: StateRot;

  constructor(world: World, options: OperatorOptions) {
    this.#world = world;
    this.#options = options;
    this.#lastId = options.masters.length;
    const { connectTo } = options;
    this.#stateDice = world.dice("mended state");
    this.rot = new StateRot(world, {
      connectTo,
      dice: world.dice("state rot"),
      mend: (master) => this.#mendState(master),
    });
  }

  /** Null: nothing is left to do. */
  get task(): string | null {
    return this.#isReplacing ? `${this.#patient?.host} is being replaced` : this.rot.task;
  }

  get isBusy(): boolean {
    return this.#patient !== null || this.rot.task !== null;
  }

  /** A bit turns over in a master's state. @returns whether there was one */
  rotState(dice: Dice): boolean {
    if (this.isBusy) return false;
    return this.rot.begin(dice.pick(this.#options.masters));
  }

  /** Its directory of stores is removed, or the whole disk, as for one that is lost. */
  async #mendState(master: SimulatedMaster): Promise<void> {
    this.#world.trace.note(master.host, "its state is thrown away");
    master.isHeld = true;
    if (this.#stateDice.isBelow(0.5)) {
      master.cutPower();
      master.loseStores();
      master.isHeld = false;
      master.onEnd();
      return;
    }
    this.#patient = master;
    this.#isReplacing = true;
    master.cutPower();
    master.loseDisk();
    await this.#replace(master);
  }

  /** Hands leadership to any master that may take it. @returns whether anybody leads */
  transfer(): boolean {
    const { admin, leader, dice, masters } = this.#options;
    const fs = admin();
    if (fs === null || leader() === undefined) return false;
    const { memberId } = dice.pick(masters).seat;
    const to = dice.isBelow(0.5) ? null : memberId;
    this.#world.trace.note("world", `leadership is to go to ${to ?? "anybody"}`);
    this.#keep(this.#try(() => fs.masters.transfer(to, { timeoutMs: CALL_TIMEOUT_MS })));
    return true;
  }

  /** The disk of a master is lost for good. @returns false while another one is looked after */
  loseDisk(): boolean {
    if (this.isBusy) return false;
    const { leader, dice, masters } = this.#options;
    const master = (dice.isBelow(0.3) ? leader() : undefined) ?? dice.pick(masters);
    this.#patient = master;
    this.#world.trace.note(master.host, "its disk is lost for good");
    this.replace(master);
    return true;
  }

  /** A bit turns over in the middle of a master's log. @returns whether there was one */
  rotLog(): boolean {
    if (this.isBusy) return false;
    const { dice, masters } = this.#options;
    const master = dice.pick(masters);
    const files = master.disk.filesBelow("log");
    if (files.length === 0) return false;
    const path = dice.pick(files);
    let isRotten = false;
    const place = dice.fraction();
    const bit = 1 << dice.integer(8);
    master.disk.rot(path, (bytes) => {
      const lastByte = bytes.findLastIndex((byte) => byte !== 0);
      const offset = Math.floor(place * (lastByte - TAIL_BYTES));
      if (offset < 0) return;
      bytes[offset] = (bytes[offset] ?? 0) ^ bit;
      isRotten = true;
    });
    if (!isRotten) return false;
    this.#patient = master;
    this.#world.trace.note(master.host, `a bit of ${path} turns over`);
    // It must refuse to start with that log, and say so; then it is replaced.
    master.isExcused = (error) => {
      if (!isAshlarError(error, "LOG_CORRUPT")) return false;
      this.#world.clock.after(AGAIN_MS, () => this.replace(master));
      return true;
    };
    return true;
  }

  replace(master: SimulatedMaster): void {
    if (this.#isReplacing) return;
    this.#isReplacing = true;
    master.isHeld = true;
    master.cutPower();
    master.loseDisk();
    this.#keep(this.#replace(master));
  }

  async #replace(master: SimulatedMaster): Promise<void> {
    const { seat, host } = master;
    const address = masterAddress(host);
    await this.#until(`master ${seat.memberId} is removed`, "MEMBER_UNKNOWN", (fs) =>
      fs.masters.remove([seat.memberId], { timeoutMs: CALL_TIMEOUT_MS }),
    );
    this.#lastId += 1;
    const memberId = this.#lastId;
    seat.memberId = memberId;
    seat.isJoining = true;
    master.isExcused = () => false;
    master.isHeld = false;
    master.onEnd();
    await this.#until(`master ${memberId} is added`, "ALREADY_EXISTS", (fs) =>
      fs.masters.add([{ memberId, address }], {
        timeoutMs: CALL_TIMEOUT_MS,
        catchUpTimeoutMs: CALL_TIMEOUT_MS,
      }),
    );
    this.#isReplacing = false;
    this.#patient = null;
  }

  /** Tries until it is done, or was done by a call whose answer was lost. */
  async #until(
    what: string,
    doneCode: "MEMBER_UNKNOWN" | "ALREADY_EXISTS",
    act: (fs: FileSystem) => Promise<void>,
  ): Promise<void> {
    const { admin } = this.#options;
    const { clock, trace } = this.#world;
    for (;;) {
      const fs = admin();
      if (fs === null) return;
      const outcome = await this.#try(() => act(fs));
      if (outcome === null || outcome === doneCode) break;
      await clock.sleep(AGAIN_MS);
    }
    trace.note("world", what);
  }

  /** @returns null, or the code of what went wrong with the world */
  async #try(act: () => Promise<unknown>): Promise<string | null> {
    try {
      await act();
      return null;
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      this.#world.trace.note("world", `the operator is told: ${error.message}`);
      return error.code;
    }
  }

  #keep(work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      const text = error instanceof Error ? error.message : String(error);
      this.#world.fail(new Violation(`The operator: ${text}`, [], { cause: error }));
    });
  }
}
