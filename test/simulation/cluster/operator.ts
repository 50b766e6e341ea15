import type { FileSystem } from "../../../client/file-system.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { masterAddress, type SimulatedMaster } from "./simulated-servers.ts";
import type { World } from "./simulation-environment.ts";
import type { Dice } from "./simulation-random.ts";
import { StateRot } from "./state-corruption.ts";
import { Violation } from "./violation.ts";

const CALL_TIMEOUT_MS = 5_000;
const AGAIN_MS = 500;
/** A group that is removed from keeps so many: one of them may fail. */
const MEMBERS_MIN = 3;
/** A master that was removed runs on for so long. */
const STAYS_MS = { min: 100, max: 15_000 };
/** Before the bytes that rot, so many that records follow which were durable once. */
const TAIL_BYTES = 4 * 1024;

type DoneCode = "MEMBER_UNKNOWN" | "ALREADY_EXISTS";

export interface OperatorOptions {
  readonly masters: readonly SimulatedMaster[];
  /** Those with which the cluster began. */
  readonly founders: readonly SimulatedMaster[];
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
  /** What is being done to the group; null: nothing. */
  #change: string | null = null;
  readonly #stateDice: Dice;
  readonly rot: StateRot;

  constructor(world: World, options: OperatorOptions) {
    this.#world = world;
    this.#options = options;
    this.#lastId = options.masters.length;
    this.#stateDice = world.dice("mended state");
    const { connectTo } = options;
    this.rot = new StateRot(world, {
      connectTo,
      dice: world.dice("state rot"),
      isMaster: (host) => options.masters.some((master) => master.host === host),
      mend: (master) => this.#mendState(master),
    });
  }

  /** Null: nothing is left to do. */
  get task(): string | null {
    if (this.#isReplacing) return `${this.#patient?.host} is being replaced`;
    return this.#change ?? this.rot.task;
  }

  get isBusy(): boolean {
    return this.#patient !== null || this.rot.task !== null || this.#change !== null;
  }

  /** A bit turns over in a master's state. @returns whether there was one */
  rotState(dice: Dice): boolean {
    if (this.isBusy) return false;
    return this.rot.begin(dice.pick(this.#members));
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
    const { admin, leader, dice, founders } = this.#options;
    const fs = admin();
    if (fs === null || leader() === undefined) return false;
    const { memberId } = dice.pick(founders).seat;
    const to = dice.isBelow(0.5) ? null : memberId;
    this.#world.trace.note("world", `leadership is to go to ${to ?? "anybody"}`);
    this.#keep(this.#try(() => fs.masters.transfer(to, { timeoutMs: CALL_TIMEOUT_MS })));
    return true;
  }

  /** The disk of a master is lost for good. @returns false while another one is looked after */
  loseDisk(): boolean {
    if (this.isBusy) return false;
    const { leader, dice, founders } = this.#options;
    const master = (dice.isBelow(0.3) ? leader() : undefined) ?? dice.pick(founders);
    if (!master.seat.isIn) return false;
    this.#patient = master;
    this.#world.trace.note(master.host, "its disk is lost for good");
    this.replace(master);
    return true;
  }

  /** A bit turns over in the middle of a master's log. @returns whether there was one */
  rotLog(): boolean {
    if (this.isBusy) return false;
    const { dice, founders } = this.#options;
    const master = dice.pick(founders);
    if (!master.seat.isIn) return false;
    const files = master.disk.filesBelow("log");
    if (files.length === 0) return false;
    const path = dice.pick(files);
    let isRotten = false;
    const place = dice.fraction();
    const bit = 1 << dice.integer(8);
    master.disk.corrupt(path, (bytes) => {
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
    await this.#until(`master ${seat.memberId} is removed`, ["MEMBER_UNKNOWN"], (fs) =>
      fs.masters.remove([seat.memberId], { timeoutMs: CALL_TIMEOUT_MS }),
    );
    const memberId = this.#seatNewcomer(master);
    await this.#until(`master ${memberId} is added`, ["ALREADY_EXISTS"], (fs) =>
      fs.masters.add([{ memberId, address }], {
        timeoutMs: CALL_TIMEOUT_MS,
        catchUpTimeoutMs: CALL_TIMEOUT_MS,
      }),
    );
    this.#isReplacing = false;
    this.#patient = null;
  }

  /** Somebody new, with an empty disk, sits down and waits to be added. @returns its number */
  #seatNewcomer(master: SimulatedMaster): number {
    const { seat } = master;
    this.#lastId += 1;
    seat.memberId = this.#lastId;
    seat.isJoining = true;
    master.isExcused = () => false;
    master.isHeld = false;
    master.onEnd();
    return seat.memberId;
  }

  get #members(): readonly SimulatedMaster[] {
    return this.#options.masters.filter(({ seat }) => seat.isIn);
  }

  /** Adds one or two masters, in one step. @returns whether there are seats for them */
  grow(dice: Dice): boolean {
    const free = this.#options.masters.filter(({ seat }) => !seat.isIn);
    if (this.isBusy || free.length === 0) return false;
    const newcomers = free.slice(0, dice.isBelow(0.4) ? 2 : 1);
    this.#begin(`${hostsOf(newcomers)} join`, this.#add(newcomers, []));
    return true;
  }

  /** Removes one or two masters that live, often the leader. @returns whether enough are left */
  shrink(dice: Dice): boolean {
    const leaving = this.#pickLeaving(dice, this.#members.length - MEMBERS_MIN);
    if (this.isBusy || leaving.length === 0) return false;
    this.#begin(`${hostsOf(leaving)} leave`, this.#remove(leaving, dice));
    return true;
  }

  /** New masters get their votes in the step in which others lose theirs. */
  exchange(dice: Dice): boolean {
    const free = this.#options.masters.filter(({ seat }) => !seat.isIn);
    if (this.isBusy || free.length === 0) return false;
    const leaving = this.#pickLeaving(dice, Math.min(free.length, this.#members.length - 1));
    const newcomers = free.slice(0, leaving.length);
    const what = `${hostsOf(newcomers)} replace ${hostsOf(leaving)}`;
    this.#begin(what, this.#exchange(newcomers, leaving, dice));
    return true;
  }

  #pickLeaving(dice: Dice, countMax: number): readonly SimulatedMaster[] {
    const leader = dice.isBelow(0.5) ? this.#options.leader() : undefined;
    const first = leader?.seat.isIn === true ? leader : dice.pick(this.#members);
    const other = dice.pick(this.#members);
    const isTwo = dice.isBelow(0.4) && other !== first;
    return [first, ...(isTwo ? [other] : [])].slice(0, Math.max(0, countMax));
  }

  #begin(what: string, work: Promise<void>): void {
    this.#world.trace.note("world", what);
    this.#change = what;
    this.#keep(
      work.then(() => {
        this.#change = null;
      }),
    );
  }

  async #add(
    newcomers: readonly SimulatedMaster[],
    replace: readonly SimulatedMaster[],
  ): Promise<void> {
    for (const master of newcomers) master.seat.isIn = true;
    const added = newcomers.map((master) => {
      if (master.state !== "down") master.cutPower();
      master.loseDisk();
      return { memberId: this.#seatNewcomer(master), address: masterAddress(master.host) };
    });
    const ids = replace.map(({ seat }) => seat.memberId);
    // A replaced one that is unknown went in the step that gave the new ones their votes.
    const doneCodes = ["ALREADY_EXISTS", ...(ids.length > 0 ? ["MEMBER_UNKNOWN" as const] : [])];
    await this.#until(`${hostsOf(newcomers)} were added`, doneCodes as DoneCode[], (fs) =>
      fs.masters.add(added, {
        replace: ids,
        timeoutMs: CALL_TIMEOUT_MS,
        catchUpTimeoutMs: 2 * CALL_TIMEOUT_MS,
      }),
    );
  }

  async #remove(leaving: readonly SimulatedMaster[], dice: Dice): Promise<void> {
    const ids = leaving.map(({ seat }) => seat.memberId);
    await this.#until(`${hostsOf(leaving)} were removed`, ["MEMBER_UNKNOWN"], (fs) =>
      fs.masters.remove(ids, { timeoutMs: CALL_TIMEOUT_MS }),
    );
    await this.#seeOff(leaving, dice);
  }

  async #exchange(
    newcomers: readonly SimulatedMaster[],
    leaving: readonly SimulatedMaster[],
    dice: Dice,
  ): Promise<void> {
    await this.#add(newcomers, leaving);
    await this.#seeOff(leaving, dice);
  }

  /** Those that were removed go on running for a while: nobody may listen to them. */
  async #seeOff(leaving: readonly SimulatedMaster[], dice: Dice): Promise<void> {
    for (const { seat } of leaving) seat.isIn = false;
    const { clock } = this.#world;
    if (dice.isBelow(0.6)) await clock.sleep(dice.magnitude(STAYS_MS.min, STAYS_MS.max));
    for (const master of leaving) {
      master.isHeld = true;
      if (master.state !== "down") master.cutPower();
    }
  }

  /** Tries until it is done, or was done by a call whose answer was lost. */
  async #until(
    what: string,
    doneCodes: readonly DoneCode[],
    act: (fs: FileSystem) => Promise<void>,
  ): Promise<void> {
    const { admin } = this.#options;
    const { clock, trace } = this.#world;
    for (;;) {
      const fs = admin();
      if (fs === null) return;
      const outcome = await this.#try(() => act(fs));
      if (outcome === null || doneCodes.some((code) => code === outcome)) break;
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

function hostsOf(masters: readonly SimulatedMaster[]): string {
  return masters.map(({ host }) => host).join(" and ");
}
