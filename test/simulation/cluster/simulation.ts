import { connect } from "../../../client/connect.ts";
import type { FileSystem } from "../../../client/file-system.ts";
import { present } from "../../../shared/base/assert.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { Env } from "../../../shared/ports/env.ts";
import { requireLinearizable } from "../linearizability/counterexample.ts";
import { directoryModel } from "../linearizability/directory-model.ts";
import { ConsensusChecks } from "./consensus-checks.ts";
import { Faults } from "./faults.ts";
import { Operator } from "./operator.ts";
import { OperatorFaults } from "./operator-faults.ts";
import { makeClient, type SimulatedClient } from "./simulated-client.ts";
import {
  addressesOf,
  CLUSTER_ID,
  ELECTION_MS,
  isLeading,
  makeChunkserver,
  makeMasters,
  masterAddress,
  membersOf,
  type SimulatedChunkserver,
  type SimulatedMaster,
  SUSPECT_MS,
} from "./simulated-servers.ts";
import { World } from "./simulation-environment.ts";
import { Violation } from "./violation.ts";
import { Watchers } from "./watchers.ts";
import { Workload, type WorkloadName } from "./workload.ts";

/** What a simulation is made from. Together with the version of the code it is all that happens. */
export interface SimulationOptions {
  readonly seed: number;
  /** For how long faults are made, in seconds of virtual time. */
  readonly seconds: number;
  readonly masters: number;
  readonly chunkservers: number;
  readonly clients: number;
  readonly workload: WorkloadName;
  /** How many times slower than usual masters and chunkservers are to notice silence. */
  readonly pace: number;
}

export interface SimulationResult {
  readonly virtualMs: number;
  readonly eventCount: number;
  /** Equal for equal runs. */
  readonly traceHash: string;
  readonly answeredCount: number;
  readonly unknownCount: number;
  /** By kind; a kind that never came is there with 0. */
  readonly faultCounts: Readonly<Record<string, number>>;
  /** How rotten states were noticed: the code of what their master said, and how often. */
  readonly rotNoticed: Readonly<Record<string, number>>;
  /** Answers that count as none, since a leader with a rotten state may have given them. */
  readonly doubtedCount: number;
  readonly termCount: number;
  readonly committedIndex: number;
  /** How often the states of two members were compared at one index. */
  readonly stateComparisons: number;
  /** Events that the two watches over everything were given. */
  readonly feedEvents: number;
  /** How often one of them was told that what it wants is gone. */
  readonly feedGaps: number;
}

const SET_UP_MS_MAX = 60_000;
/** After the last fault everything is in order again within so long. */
const WHOLE_MS_MAX = 120_000;
const ANSWERED_MS_MAX = 60_000;
const LOOK_MS = 250;
const CONNECT_TIMEOUT_MS = 5_000;

/** Each client begins with another master. */
function rotated<T>(items: readonly T[], by: number): T[] {
  const first = by % items.length;
  return [...items.slice(first), ...items.slice(0, first)];
}

/** A whole cluster of production masters, chunkservers and clients in a simulated world. */
export class Simulation {
  readonly options: SimulationOptions;
  readonly world: World;
  readonly masters: readonly SimulatedMaster[];
  readonly chunkservers: readonly SimulatedChunkserver[];
  readonly clients: readonly SimulatedClient[];
  readonly workload: Workload;
  readonly operator: Operator;
  readonly faults: Faults;
  readonly checks: ConsensusChecks;
  readonly watchers: Watchers;
  readonly operatorFaults: OperatorFaults;
  /** Looks at the end whether all is well. */
  readonly #observer: SimulatedClient;
  #observerEnv: Env | null = null;

  constructor(options: SimulationOptions) {
    this.options = options;
    const { seed } = options;
    const world = new World(seed);
    this.world = world;
    const ids = (count: number): number[] => Array.from({ length: count }, (_, place) => place + 1);
    this.masters = makeMasters(world, options);
    const masters = (): string[] => addressesOf(this.masters);
    const founders = this.masters.filter(({ seat }) => seat.isIn);
    this.chunkservers = ids(options.chunkservers).map((id) => makeChunkserver(world, id, masters));
    this.workload = new Workload(world, options.workload);
    this.clients = ids(options.clients).map((id) => {
      const host = `k${id}`;
      return makeClient(world, host, {
        masters: () => rotated(masters(), id),
        begin: (life, fs) => this.workload.begin(life, host, fs),
      });
    });
    this.#observer = makeClient(world, "observer", {
      masters,
      begin: ({ env }) => {
        this.#observerEnv = env;
      },
    });
    const leader = (): SimulatedMaster | undefined => this.masters.find((each) => isLeading(each));
    this.operator = new Operator(world, {
      masters: this.masters,
      founders,
      admin: () => this.#observer.running,
      connectTo: ({ host }) => this.#connectTo(masterAddress(host)),
      leader,
      dice: world.dice("operator"),
    });
    this.faults = new Faults(world, {
      masters: founders,
      chunkservers: this.chunkservers,
      clients: this.clients,
      leader,
      operator: this.operator,
      electionMs: ELECTION_MS * options.pace,
    });
    this.operatorFaults = new OperatorFaults(world, {
      operator: this.operator,
      spares: this.masters.filter((master) => !founders.includes(master)),
    });
    this.checks = new ConsensusChecks(this.masters, this.operator.rot);
    this.watchers = new Watchers(world, {
      masters: this.masters,
      committedIndex: () => this.checks.committedIndexMax,
      onBug: (error) => this.#onBug(error),
    });
  }

  /**
   * Runs it from the founding of the cluster to its end in good order.
   *
   * @throws {Violation} if something does not hold that must
   */
  async run(): Promise<SimulationResult> {
    const onRejection = (error: unknown): void => this.#onBug(error);
    process.on("unhandledRejection", onRejection);
    try {
      await this.#setUp();
      await this.#harm();
      await this.#becomeWhole();
      await this.#prove();
      await this.#stopAll();
    } finally {
      process.removeListener("unhandledRejection", onRejection);
    }
    return this.result();
  }

  result(): SimulationResult {
    const { world, workload, faults, checks, watchers } = this;
    return {
      virtualMs: Math.round(world.clock.monotonicMs()),
      eventCount: world.trace.count,
      traceHash: world.trace.hash,
      answeredCount: workload.answeredCount,
      unknownCount: workload.unknownCount,
      faultCounts: {
        ...faults.counts,
        ...watchers.faults.counts,
        ...this.operatorFaults.counts,
      },
      rotNoticed: Object.fromEntries(this.operator.rot.noticed),
      doubtedCount: workload.doubtedCount,
      termCount: checks.termCount,
      committedIndex: checks.committedIndexMax,
      stateComparisons: checks.stateComparisons,
      feedEvents: watchers.eventCount,
      feedGaps: watchers.gapCount,
    };
  }

  async #setUp(): Promise<void> {
    const founders = this.masters.filter(({ seat }) => seat.isIn);
    for (const server of [...founders, ...this.chunkservers, this.#observer]) server.start();
    await this.#until("the cluster is founded", SET_UP_MS_MAX, () => {
      const isReady = this.chunkservers.every(({ running }) => running?.ready().ready === true);
      return isReady && this.#observer.isUp;
    });
    await this.#settled("the directories are made", SET_UP_MS_MAX, this.#makeDirectories());
    this.#keep(this.#watchFeed());
    for (const client of this.clients) client.start();
  }

  #connectTo(master: string): Promise<FileSystem> {
    const env = present<Env>(this.#observerEnv, "the observer has begun");
    const at = { masters: [master], clusterId: CLUSTER_ID, env, hostName: "observer" };
    return connect({ ...at, timeoutMs: CONNECT_TIMEOUT_MS });
  }

  async #watchFeed(): Promise<void> {
    const { running } = this.#observer;
    if (running === null) throw new Violation("The observer is gone");
    const { index } = await running.mkdir("/watched");
    this.watchers.begin(running, index);
  }

  async #makeDirectories(): Promise<void> {
    for (const directory of this.workload.directories)
      await this.#observer.running?.mkdir(directory);
  }

  async #harm(): Promise<void> {
    const { world, faults, operatorFaults } = this;
    const watcherFaults = this.watchers.faults;
    const endMs = world.clock.monotonicMs() + this.options.seconds * 1_000;
    world.rhythm.begin(this.options.seconds * 1_000);
    faults.watch();
    this.#keep(faults.run());
    this.#keep(watcherFaults.run());
    this.#keep(operatorFaults.run());
    await this.#run(() => world.clock.monotonicMs() >= endMs);
    faults.end();
    watcherFaults.end();
    operatorFaults.end();
    this.workload.isOver = true;
  }

  /** Liveness: when nothing is broken any more, everything comes back within a bound. */
  async #becomeWhole(): Promise<void> {
    await this.#until("all calls are answered", ANSWERED_MS_MAX, () => {
      const isAlive = new Set(this.clients.map((client) => client.clock));
      return this.workload.underWay(({ clock }) => isAlive.has(clock)).length === 0;
    });
    await this.#waitUntilWhole();
  }

  async #waitUntilWhole(): Promise<void> {
    const { clock } = this.world;
    const endMs = clock.monotonicMs() + WHOLE_MS_MAX;
    for (;;) {
      const left = await this.#whatIsLeft();
      if (left === null) return;
      if (clock.monotonicMs() > endMs) throw new Violation(`Not whole after all faults: ${left}`);
      await this.#runFor(LOOK_MS);
    }
  }

  /** Null: the cluster is whole. */
  async #whatIsLeft(): Promise<string | null> {
    const masters = this.masters.filter(({ seat }) => seat.isIn);
    const servers = [...masters, ...this.chunkservers];
    const down = servers.find((server) => !server.isUp);
    if (down !== undefined) return `${down.host} is ${down.state}`;
    if (this.operator.task !== null) return this.operator.task;
    const statuses = masters.map((each) => each.running?.master.consensus.status());
    if (statuses.filter((status) => status?.isReady === true).length !== 1) return "no leader";
    const group = membersOf(masters.find((each) => isLeading(each)));
    const wanted = masters.map(({ seat }) => `${seat.memberId} voter`).sort();
    if (group.join() !== wanted.join()) return `the members are ${group}, not ${wanted}`;
    const applied = new Set(statuses.map((status) => status?.appliedIndex));
    if (applied.size > 1) return `members have applied ${[...applied].join(", ")}`;
    try {
      const asked = this.#observer.running?.status({ timeoutMs: 5_000 });
      const status = await this.#settled("the status is answered", 60_000, asked);
      const { health, chunkservers } = status ?? {};
      if (chunkservers?.length !== this.chunkservers.length) return "a chunkserver is missing";
      return health?.word === "ok" ? null : (health?.reasons.join("; ") ?? "no health");
    } catch (error) {
      if (isAshlarError(error)) return error.message;
      throw error;
    }
  }

  async #prove(): Promise<void> {
    const { running } = this.#observer;
    if (running === null) throw new Violation("The observer is gone");
    await this.#settled("all files are read", 300_000, this.workload.readAll(running));
    requireLinearizable(directoryModel, this.workload.history);
    await this.#proveFeed();
    // Rot that nobody has read yet is found now, and mended.
    const isRotten = await this.#verify();
    if (!isRotten) return;
    await this.#runFor(SUSPECT_MS * this.options.pace); // By then the leader was told of it.
    await this.#waitUntilWhole();
    if (await this.#verify()) throw new Violation("A copy is still bad after its repair");
  }

  async #proveFeed(): Promise<void> {
    const { watchers } = this;
    const { lastVersion, history } = this.workload;
    await this.#until("the feed is read", 60_000, () => watchers.isBeyond(lastVersion));
    watchers.check(history, lastVersion);
  }

  /** @returns whether there was a bad copy */
  async #verify(): Promise<boolean> {
    const { running } = this.#observer;
    const look = async (): Promise<boolean> => {
      let isBad = false;
      for await (const found of running?.verify("/", { allReplicas: true }) ?? []) {
        if (!found.isReadable) throw new Violation(`${Buffer.from(found.path)} is lost`);
        isBad ||= found.kind === "file" && found.badReplicaCount > 0;
      }
      return isBad;
    };
    const isBad = await this.#settled("all copies are verified", 300_000, look());
    if (isBad && this.faults.counts["bit rot"] === 0) {
      throw new Violation("A copy is bad although no disk has rotten");
    }
    return isBad;
  }

  async #stopAll(): Promise<void> {
    this.faults.isWatchOver = true;
    this.watchers.faults.isWatchOver = true;
    this.operatorFaults.isWatchOver = true;
    const groups = [
      [...this.clients, this.watchers.process, this.#observer],
      this.chunkservers,
      this.masters,
    ];
    for (const group of groups) {
      for (const each of group) if (each.isUp) each.stop();
      await this.#until("everyone stops", 60_000, () => {
        return group.every((each) => each.state === "down");
      });
    }
  }

  async #runFor(lastsMs: number): Promise<void> {
    const { clock } = this.world;
    const endMs = clock.monotonicMs() + lastsMs;
    await this.#run(() => clock.monotonicMs() >= endMs);
  }

  /** Runs the world until `isDone`, and looks at everything after every event. */
  async #run(isDone: () => boolean): Promise<void> {
    const { world, checks } = this;
    const { rot } = this.operator;
    while (!isDone()) {
      let isMore = false;
      try {
        isMore = await world.clock.step();
        checks.look();
        rot.look();
      } catch (error) {
        this.#onBug(error);
      }
      world.check();
      if (!isMore) throw new Violation("Nothing happens any more");
    }
  }

  async #until(what: string, msMax: number, isDone: () => boolean): Promise<void> {
    const endMs = this.world.clock.monotonicMs() + msMax;
    await this.#run(() => isDone() || this.world.clock.monotonicMs() > endMs);
    if (!isDone()) throw new Violation(`Not within ${msMax} ms: ${what}${this.#whatHangs()}`);
  }

  #whatHangs(): string {
    const alive = new Set(this.clients.map((client) => client.clock));
    const calls = this.workload.underWay(({ clock }) => alive.has(clock));
    const states = [...this.masters, ...this.chunkservers, ...this.clients]
      .filter((each) => !each.isUp)
      .map((each) => `${each.host} is ${each.state}`);
    return [...states, ...calls].map((text) => `; ${text}`).join("");
  }

  async #settled<T>(what: string, msMax: number, work: Promise<T> | undefined): Promise<T> {
    if (work === undefined) throw new Violation(`The observer is gone: ${what}`);
    let isSettled = false;
    const watched = work.finally(() => {
      isSettled = true;
    });
    watched.catch(() => {}); // The `await` below reports it.
    await this.#until(what, msMax, () => isSettled);
    return await watched;
  }

  #keep(work: Promise<void>): void {
    work.catch((error: unknown) => this.#onBug(error));
  }

  #onBug(error: unknown): void {
    if (this.operator.rot.takes(error)) return;
    const isKnown = error instanceof Violation;
    const text = error instanceof Error ? error.message : String(error);
    this.world.fail(isKnown ? error : new Violation(`A bug: ${text}`, [], { cause: error }));
  }
}
