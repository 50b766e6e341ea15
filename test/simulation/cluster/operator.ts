import type { FileSystem } from "../../../client/file-system.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { pickLogEnd, watchRefusal } from "./log-end.ts";
import { masterAddress, type SimulatedMaster } from "./simulated-servers.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";
import type { SimulationRandom } from "./simulation-random.ts";
import { StateCorruption } from "./state-corruption.ts";
import { Violation } from "./violation.ts";

const CALL_TIMEOUT_MS = 5_000;
const RETRY_MS = 500;
/** Minimum number of members after a removal. One of three members may fail. */
const MEMBERS_MIN = 3;
/** Time for which a removed master continues to run. */
const RUNS_AFTER_REMOVAL_MS = { min: 100, max: 15_000 };
/**
 * Minimum distance of a flipped bit from the end of the log file: complete records follow it, so it
 * cannot be mistaken for a torn record.
 */
const LOG_TAIL_BYTES = 4 * 1024;

/** Error of a repeated call that shows that an earlier call took effect. */
type DoneCode = "MEMBER_UNKNOWN" | "ALREADY_EXISTS";

/** The masters, and the clients with which the operator calls them. */
export interface OperatorDeps {
  /** All masters, including the spare machines. */
  readonly masters: readonly SimulatedMaster[];
  /** The members with which the cluster was founded. */
  readonly founders: readonly SimulatedMaster[];
  /** Returns the client with which the operator changes the cluster. Null: it is not connected. */
  readonly admin: () => FileSystem | null;
  /** Connects a client to this master. The client has no address of another master. */
  readonly connectTo: (master: SimulatedMaster) => Promise<FileSystem>;
  /** Returns the leader. Undefined: there is none. */
  readonly leader: () => SimulatedMaster | undefined;
  readonly random: SimulationRandom;
}

/**
 * The operator of the masters. It transfers leadership, changes the members, and replaces a master
 * with a lost disk by a new member with an empty disk at the same address, as `ashlar master
 * remove` and `add` do.
 *
 * Invariant: at most one master has a bad disk, because data that a majority has lost cannot be
 * restored.
 */
export class Operator {
  readonly #environment: SimulationEnvironment;
  readonly #deps: OperatorDeps;
  #lastId: number;
  /** The master with a bad disk, detected or not. Null: there is none. */
  #masterInRepair: SimulatedMaster | null = null;
  #isReplacing = false;
  /** Description of the pending membership change. Null: there is none. */
  #change: string | null = null;
  readonly #stateRepairRandom: SimulationRandom;
  readonly stateCorruption: StateCorruption;

  constructor(environment: SimulationEnvironment, deps: OperatorDeps) {
    this.#environment = environment;
    this.#deps = deps;
    this.#lastId = deps.masters.length;
    // The purposes of the random sources are seeds. They must not change.
    this.#stateRepairRandom = environment.randomFor("mended state");
    const { connectTo } = deps;
    this.stateCorruption = new StateCorruption(environment, {
      connectTo,
      random: environment.randomFor("state rot"),
      isMaster: (host) => deps.masters.some((master) => master.host === host),
      repair: (master) => this.#repairState(master),
    });
  }

  /** Description of a pending task of the operator. Null: there is none. */
  get pendingTask(): string | null {
    if (this.#isReplacing) return `${this.#masterInRepair?.host} is being replaced`;
    return this.#change ?? this.stateCorruption.pendingTask;
  }

  /** Whether a master has a bad disk or a corrupt state, or a membership change is pending. */
  get isBusy(): boolean {
    return (
      this.#masterInRepair !== null ||
      this.stateCorruption.pendingTask !== null ||
      this.#change !== null
    );
  }

  /** Corrupts a row of the state of a random member. @returns whether a row was corrupted */
  corruptState(random: SimulationRandom): boolean {
    if (this.isBusy) return false;
    return this.stateCorruption.start(random.pick(this.#members));
  }

  /** Removes the stores of the master, or replaces the master with an empty disk. */
  async #repairState(master: SimulatedMaster): Promise<void> {
    this.#environment.trace.note(master.host, "its state is removed");
    master.isKeptDown = true;
    if (this.#stateRepairRandom.chance(0.5)) {
      master.cutPower();
      master.removeStores();
      master.isKeptDown = false;
      master.onEnd();
      return;
    }
    this.#masterInRepair = master;
    this.#isReplacing = true;
    master.cutPower();
    master.replaceDisk();
    await this.#replaceMaster(master);
  }

  /** Transfers leadership to a founder or to any member. @returns false if there is no leader */
  transferLeadership(): boolean {
    const { admin, leader, random, founders } = this.#deps;
    const fs = admin();
    if (fs === null || leader() === undefined) return false;
    const { memberId } = random.pick(founders).slot;
    const to = random.chance(0.5) ? null : memberId;
    this.#environment.trace.note("simulation", `leadership transfer to ${to ?? "any member"}`);
    this.#reportFailureOf(this.#try(() => fs.masters.transfer(to, { timeoutMs: CALL_TIMEOUT_MS })));
    return true;
  }

  /**
   * Destroys the disk of a master and replaces the master.
   *
   * @returns false if the operator is busy
   */
  replaceMasterDisk(): boolean {
    if (this.isBusy) return false;
    const { leader, random, founders } = this.#deps;
    const master = (random.chance(0.3) ? leader() : undefined) ?? random.pick(founders);
    if (!master.slot.isMember) return false;
    this.#masterInRepair = master;
    this.#environment.trace.note(master.host, "its disk is lost");
    this.replace(master);
    return true;
  }

  /** Flips a bit in the middle of the log of a founder. @returns whether a bit was flipped */
  corruptLog(): boolean {
    if (this.isBusy) return false;
    const { random, founders } = this.#deps;
    const master = random.pick(founders);
    if (!master.slot.isMember) return false;
    const files = master.disk.filesBelow("log");
    if (files.length === 0) return false;
    const path = random.pick(files);
    let isCorrupted = false;
    const positionShare = random.fraction();
    const bit = 1 << random.integer(8);
    master.disk.corrupt(path, (bytes) => {
      const lastByte = bytes.findLastIndex((byte) => byte !== 0);
      const offset = Math.floor(positionShare * (lastByte - LOG_TAIL_BYTES));
      if (offset < 0) return;
      bytes[offset] = (bytes[offset] ?? 0) ^ bit;
      isCorrupted = true;
    });
    if (!isCorrupted) return false;
    this.#masterInRepair = master;
    this.#environment.trace.note(master.host, `a bit of ${path} is flipped`);
    master.isExpectedFailure = this.#replacedIfRefused(master);
    return true;
  }

  /** Cuts the power of a running member, which loses the end of its log. @returns whether it was injected */
  loseLogEnd(random: SimulationRandom): boolean {
    if (this.isBusy) return false;
    const master = random.pick(this.#members);
    if (!master.isUp) return false;
    this.#masterInRepair = master;
    master.isExpectedFailure = this.#replacedIfRefused(master);
    master.cutPower();
    const paths = pickLogEnd(master.disk, random);
    for (const path of paths) master.disk.lose(path);
    this.#environment.trace.note(master.host, `the end of its log is lost: ${paths.join(", ")}`);
    watchRefusal(this.#environment, master);
    return true;
  }

  /** Accepts the error of a master that refuses to start with its log, and then replaces the master. */
  #replacedIfRefused(master: SimulatedMaster): (error: unknown) => boolean {
    return (error) => {
      if (!isAshlarError(error, "LOG_CORRUPT")) return false;
      this.#environment.clock.after(RETRY_MS, () => this.replace(master));
      return true;
    };
  }

  /** Replaces the master by a new member with an empty disk at the same address. */
  replace(master: SimulatedMaster): void {
    if (this.#isReplacing) return;
    this.#isReplacing = true;
    master.isKeptDown = true;
    master.cutPower();
    master.replaceDisk();
    this.#reportFailureOf(this.#replaceMaster(master));
  }

  async #replaceMaster(master: SimulatedMaster): Promise<void> {
    const { slot, host } = master;
    const address = masterAddress(host);
    await this.#retryUntilDone(`master ${slot.memberId} was removed`, ["MEMBER_UNKNOWN"], (fs) =>
      fs.masters.remove([slot.memberId], { timeoutMs: CALL_TIMEOUT_MS }),
    );
    const memberId = this.#startNewMember(master);
    await this.#retryUntilDone(`master ${memberId} was added`, ["ALREADY_EXISTS"], (fs) =>
      fs.masters.add([{ memberId, address }], {
        timeoutMs: CALL_TIMEOUT_MS,
        catchUpTimeoutMs: CALL_TIMEOUT_MS,
      }),
    );
    this.#isReplacing = false;
    this.#masterInRepair = null;
  }

  /** Starts a new member on the machine. It waits to be added. @returns its member id */
  #startNewMember(master: SimulatedMaster): number {
    const { slot } = master;
    this.#lastId += 1;
    slot.memberId = this.#lastId;
    slot.isJoining = true;
    master.isExpectedFailure = () => false;
    master.isKeptDown = false;
    master.onEnd();
    return slot.memberId;
  }

  get #members(): readonly SimulatedMaster[] {
    return this.#deps.masters.filter(({ slot }) => slot.isMember);
  }

  /**
   * Adds one or two members in one step.
   *
   * @returns false if the operator is busy or no spare is free
   */
  addMembers(random: SimulationRandom): boolean {
    const free = this.#deps.masters.filter(({ slot }) => !slot.isMember);
    if (this.isBusy || free.length === 0) return false;
    const added = free.slice(0, random.chance(0.4) ? 2 : 1);
    this.#startChange(`${hostsOf(added)} join`, this.#addAll(added, []));
    return true;
  }

  /**
   * Removes one or two running members, often the leader.
   *
   * @returns whether a removal was started
   */
  removeMembers(random: SimulationRandom): boolean {
    const leaving = this.#pickLeaving(random, this.#members.length - MEMBERS_MIN);
    if (this.isBusy || leaving.length === 0) return false;
    this.#startChange(`${hostsOf(leaving)} leave`, this.#removeAll(leaving, random));
    return true;
  }

  /**
   * Replaces one or two members by as many new ones in one step: the new members become voters in
   * the step that removes the others. @returns whether a change was started
   */
  replaceMembers(random: SimulationRandom): boolean {
    const free = this.#deps.masters.filter(({ slot }) => !slot.isMember);
    if (this.isBusy || free.length === 0) return false;
    const leaving = this.#pickLeaving(random, Math.min(free.length, this.#members.length - 1));
    const added = free.slice(0, leaving.length);
    const description = `${hostsOf(added)} replace ${hostsOf(leaving)}`;
    this.#startChange(description, this.#replaceInOneStep(added, leaving, random));
    return true;
  }

  /** Returns one or two members, but at most `countMax`. The first is often the leader. */
  #pickLeaving(random: SimulationRandom, countMax: number): readonly SimulatedMaster[] {
    const leader = random.chance(0.5) ? this.#deps.leader() : undefined;
    const first = leader?.slot.isMember === true ? leader : random.pick(this.#members);
    const other = random.pick(this.#members);
    const isTwo = random.chance(0.4) && other !== first;
    return [first, ...(isTwo ? [other] : [])].slice(0, Math.max(0, countMax));
  }

  /** Records a membership change as pending until `work` resolves. */
  #startChange(description: string, work: Promise<void>): void {
    this.#environment.trace.note("simulation", description);
    this.#change = description;
    this.#reportFailureOf(
      work.then(() => {
        this.#change = null;
      }),
    );
  }

  async #addAll(
    masters: readonly SimulatedMaster[],
    replace: readonly SimulatedMaster[],
  ): Promise<void> {
    for (const master of masters) master.slot.isMember = true;
    const added = masters.map((master) => {
      if (master.state !== "down") master.cutPower();
      master.replaceDisk();
      return { memberId: this.#startNewMember(master), address: masterAddress(master.host) };
    });
    const ids = replace.map(({ slot }) => slot.memberId);
    // MEMBER_UNKNOWN: the replaced members were removed in the step that added the new ones.
    const doneCodes = ["ALREADY_EXISTS", ...(ids.length > 0 ? ["MEMBER_UNKNOWN" as const] : [])];
    await this.#retryUntilDone(`${hostsOf(masters)} were added`, doneCodes as DoneCode[], (fs) =>
      fs.masters.add(added, {
        replace: ids,
        timeoutMs: CALL_TIMEOUT_MS,
        catchUpTimeoutMs: 2 * CALL_TIMEOUT_MS,
      }),
    );
  }

  async #removeAll(leaving: readonly SimulatedMaster[], random: SimulationRandom): Promise<void> {
    const ids = leaving.map(({ slot }) => slot.memberId);
    await this.#retryUntilDone(`${hostsOf(leaving)} were removed`, ["MEMBER_UNKNOWN"], (fs) =>
      fs.masters.remove(ids, { timeoutMs: CALL_TIMEOUT_MS }),
    );
    await this.#stopRemoved(leaving, random);
  }

  async #replaceInOneStep(
    added: readonly SimulatedMaster[],
    leaving: readonly SimulatedMaster[],
    random: SimulationRandom,
  ): Promise<void> {
    await this.#addAll(added, leaving);
    await this.#stopRemoved(leaving, random);
  }

  /** Stops removed masters, often after some time, in which the members must ignore them. */
  async #stopRemoved(leaving: readonly SimulatedMaster[], random: SimulationRandom): Promise<void> {
    for (const { slot } of leaving) slot.isMember = false;
    const { clock } = this.#environment;
    const { min, max } = RUNS_AFTER_REMOVAL_MS;
    if (random.chance(0.6)) await clock.sleep(random.logUniform(min, max));
    for (const master of leaving) {
      master.isKeptDown = true;
      if (master.state !== "down") master.cutPower();
    }
  }

  /**
   * Calls `act` until it succeeds, or fails with a code that shows that an earlier call with a lost
   * reply took effect. After that it adds the description to the trace.
   */
  async #retryUntilDone(
    description: string,
    doneCodes: readonly DoneCode[],
    act: (fs: FileSystem) => Promise<void>,
  ): Promise<void> {
    const { admin } = this.#deps;
    const { clock, trace } = this.#environment;
    for (;;) {
      const fs = admin();
      if (fs === null) return;
      const outcome = await this.#try(() => act(fs));
      if (outcome === null || doneCodes.some((code) => code === outcome)) break;
      await clock.sleep(RETRY_MS);
    }
    trace.note("simulation", description);
  }

  /** Calls `act`. @returns null, or the code of its AshlarError. Other errors are bugs */
  async #try(act: () => Promise<unknown>): Promise<string | null> {
    try {
      await act();
      return null;
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      this.#environment.trace.note("simulation", `operator call fails: ${error.message}`);
      return error.code;
    }
  }

  /** Reports an error of `work` as a violation. */
  #reportFailureOf(work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      const text = error instanceof Error ? error.message : String(error);
      this.#environment.reportViolation(
        new Violation(`Operator fails: ${text}`, [], { cause: error }),
      );
    });
  }
}

function hostsOf(masters: readonly SimulatedMaster[]): string {
  return masters.map(({ host }) => host).join(" and ");
}
