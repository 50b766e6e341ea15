import { connect } from "../../../client/connect.ts";
import type { FileSystem } from "../../../client/file-system.ts";
import { present } from "../../../shared/base/assert.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { Env } from "../../../shared/ports/env.ts";
import { requireLinearizable } from "../linearizability/counterexample.ts";
import { directoryModel } from "../linearizability/directory-model.ts";
import type { BackgroundFaults } from "./background-faults.ts";
import { ConsensusChecks } from "./consensus-checks.ts";
import { CopyChecks } from "./copy-checks.ts";
import { DelayedReports } from "./delayed-reports.ts";
import { EnrolmentFaults } from "./enrolment-faults.ts";
import { Faults } from "./faults.ts";
import { startFounders } from "./founding-fault.ts";
import { hasBadReplica, mastersProblem, processProblem, statusProblem } from "./health-problems.ts";
import { InterruptedSnapshots } from "./interrupted-snapshots.ts";
import { LostLogEnds } from "./lost-log-ends.ts";
import { OlderImages } from "./older-images.ts";
import { Operator } from "./operator.ts";
import { OperatorFaults } from "./operator-faults.ts";
import { rotated } from "./rotated.ts";
import { makeClient, type SimulatedClient } from "./simulated-client.ts";
import {
  addressesOf,
  CLUSTER_ID,
  ELECTION_MS,
  isLeading,
  makeChunkserver,
  makeMasters,
  masterAddress,
  type SimulatedChunkserver,
  type SimulatedMaster,
} from "./simulated-servers.ts";
import { SimulationEnvironment } from "./simulation-environment.ts";
import type { SimulationOptions } from "./simulation-options.ts";
import type { SimulationResult } from "./simulation-result.ts";
import { SlowSeals } from "./slow-seals.ts";
import { checkStates, countStaged } from "./state-checks.ts";
import { Violation } from "./violation.ts";
import { Watchers } from "./watchers.ts";
import { Workload } from "./workload.ts";

const SET_UP_MS_MAX = 60_000;
/** Time after the last fault in which the cluster must become healthy. */
const RECOVERY_MS_MAX = 120_000;
/** Time after the last fault in which all pending calls must return. */
const ANSWERED_MS_MAX = 60_000;
const HEALTH_POLL_MS = 250;
/** Time in which a copy that a reader found corrupt or missing is reported to the leader. */
const REPORTED_MS = 12_000;
/** Time after the last client in which its session expires and its uploads are reclaimed. */
const UNSTAGED_MS_MAX = 120_000;
const CONNECT_TIMEOUT_MS = 5_000;

/** A whole cluster of production masters, chunkservers and clients in a simulated environment. */
export class Simulation {
  readonly options: SimulationOptions;
  readonly environment: SimulationEnvironment;
  readonly masters: readonly SimulatedMaster[];
  readonly chunkservers: readonly SimulatedChunkserver[];
  readonly clients: readonly SimulatedClient[];
  readonly workload: Workload;
  readonly operator: Operator;
  readonly faults: Faults;
  readonly checks: ConsensusChecks;
  readonly watchers: Watchers;
  readonly operatorFaults: OperatorFaults;
  readonly delayedReports: DelayedReports;
  readonly enrolmentFaults: EnrolmentFaults;
  readonly #copies: CopyChecks;
  readonly #backgroundFaults: readonly BackgroundFaults[];
  /** Client without faults. It sets up the cluster and checks it at the end. */
  readonly #observer: SimulatedClient;
  #founderLossCount = 0;
  /** The ports of the observer. Null until it has connected for the first time. */
  #observerEnv: Env | null = null;

  constructor(options: SimulationOptions) {
    this.options = options;
    const { seed } = options;
    const environment = new SimulationEnvironment(seed);
    this.environment = environment;
    const ids = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);
    this.masters = makeMasters(environment, options);
    const masters = (): string[] => addressesOf(this.masters);
    const founders = this.masters.filter(({ slot }) => slot.isMember);
    this.chunkservers = ids(options.chunkservers).map((id) =>
      makeChunkserver(environment, id, masters, () => this.enrolmentFaults.joinToken),
    );
    this.workload = new Workload(environment, options);
    this.clients = ids(options.clients).map((id) => {
      const host = `k${id}`;
      return makeClient(environment, host, {
        masters: () => rotated(masters(), id),
        onConnected: (run, fs) => this.workload.start(run, host, fs),
      });
    });
    this.#observer = makeClient(environment, "observer", {
      masters,
      onConnected: ({ env }) => {
        this.#observerEnv = env;
      },
    });
    const leader = (): SimulatedMaster | undefined => this.masters.find((each) => isLeading(each));
    this.operator = new Operator(environment, {
      masters: this.masters,
      founders,
      admin: () => this.#observer.running,
      connectTo: ({ host }) => this.#connectTo(masterAddress(host)),
      leader,
      random: environment.randomFor("operator"),
    });
    this.faults = new Faults(environment, {
      masters: founders,
      chunkservers: this.chunkservers,
      clients: this.clients,
      leader,
      operator: this.operator,
      electionMs: ELECTION_MS * options.pace,
    });
    this.operatorFaults = new OperatorFaults(environment, {
      operator: this.operator,
      spares: this.masters.filter((master) => !founders.includes(master)),
    });
    this.checks = new ConsensusChecks(this.masters, this.operator.stateCorruption);
    const { masters: allMasters, chunkservers } = this;
    const committedIndex = (): number => this.checks.committedIndexMax;
    const replicas = { masters: allMasters, chunkservers, committedIndex };
    const copies = new CopyChecks(environment, replicas);
    this.#copies = copies;
    const slowSeals = new SlowSeals(environment, { copies, chunkservers });
    const onError = (error: unknown): void => this.#onError(error);
    const deps = { chunkservers, copies, leader, onError };
    this.delayedReports = new DelayedReports(environment, deps);
    this.enrolmentFaults = new EnrolmentFaults(environment, {
      ...{ chunkservers, leader, idOf: (server) => copies.idOf(server) },
      admin: () => this.#observer.running,
    });
    const interrupted = new InterruptedSnapshots(environment, { masters: allMasters, leader });
    const { host } = this.faults.corruptibleServer;
    const older = new OlderImages(environment, { chunkservers, host, copies });
    const logEnds = new LostLogEnds(environment, this.operator);
    this.#backgroundFaults = [slowSeals, this.delayedReports, interrupted, older, logEnds];
    this.watchers = new Watchers(environment, {
      masters: this.masters,
      committedIndex,
      onError,
    });
  }

  /**
   * Runs the whole simulation: set-up, faults, recovery, checks, graceful stop.
   *
   * @throws {Violation} if an invariant is violated
   */
  async run(): Promise<SimulationResult> {
    const onRejection = (error: unknown): void => this.#onError(error);
    process.on("unhandledRejection", onRejection);
    try {
      await this.#setUp();
      await this.#injectFaults();
      await this.#recover();
      await this.#checkResults();
      await this.#stopAll();
    } finally {
      process.removeListener("unhandledRejection", onRejection);
    }
    return this.result();
  }

  /** Returns the figures of the run so far. May be called after a violation. */
  result(): SimulationResult {
    const { environment, workload, faults, checks, watchers } = this;
    return {
      virtualMs: Math.round(environment.clock.monotonicMs()),
      eventCount: environment.trace.count,
      traceHash: environment.trace.hash,
      answeredCount: workload.answeredCount,
      unknownCount: workload.unknownCount,
      faultCounts: {
        ...faults.counts,
        ...watchers.faults.counts,
        ...this.operatorFaults.counts,
        ...Object.assign({}, ...this.#backgroundFaults.map(({ counts }) => counts)),
        ...this.enrolmentFaults.counts,
        "founder disk loss": this.#founderLossCount,
      },
      resumedSnapshotCount: environment.resumedSnapshotCount,
      corruptionDetections: Object.fromEntries(this.operator.stateCorruption.detections),
      discardedCount: workload.discardedCount,
      termCount: checks.termCount,
      committedIndex: checks.committedIndexMax,
      stateComparisonCount: checks.stateComparisonCount,
      feedEventCount: watchers.eventCount,
      feedExpiredCount: watchers.expiredCount,
    };
  }

  async #setUp(): Promise<void> {
    const founders = this.masters.filter(({ slot }) => slot.isMember);
    this.#founderLossCount = startFounders(this.environment, founders);
    this.#observer.start();
    await this.#runUntil("founding the cluster", SET_UP_MS_MAX, () => this.#observer.isUp);
    const started = this.enrolmentFaults.startServers();
    await this.#runUntilSettled("making a join token", SET_UP_MS_MAX, started);
    await this.#runUntil("starting the chunkservers", SET_UP_MS_MAX, () =>
      this.chunkservers.every(({ running }) => running?.ready().ready === true),
    );
    const made = this.#makeDirectories();
    await this.#runUntilSettled("making the directories", SET_UP_MS_MAX, made);
    this.#reportFailureOf(this.#watchFeed());
    for (const client of this.clients) client.start();
  }

  #connectTo(master: string): Promise<FileSystem> {
    const env = present<Env>(this.#observerEnv, "the observer has connected");
    const options = { masters: [master], clusterId: CLUSTER_ID, env, hostName: "observer" };
    return connect({ ...options, timeoutMs: CONNECT_TIMEOUT_MS });
  }

  async #watchFeed(): Promise<void> {
    const running = present(this.#observer.running, "the observer is running");
    const { index } = await running.mkdir("/watched");
    this.watchers.start(running, index);
  }

  async #makeDirectories(): Promise<void> {
    const { running } = this.#observer;
    for (const directory of this.workload.directories) await running?.mkdir(directory);
  }

  /** Fault phase: runs the workload and injects faults. */
  async #injectFaults(): Promise<void> {
    const { environment, faults, operatorFaults } = this;
    const watcherFaults = this.watchers.faults;
    const endMs = environment.clock.monotonicMs() + this.options.seconds * 1_000;
    environment.loadPhases.start(this.options.seconds * 1_000);
    faults.superviseProcesses();
    this.#reportFailureOf(faults.run());
    this.#reportFailureOf(watcherFaults.run());
    this.#reportFailureOf(operatorFaults.run());
    this.#reportFailureOf(this.enrolmentFaults.run());
    for (const each of this.#backgroundFaults) each.start();
    await this.#run(() => environment.clock.monotonicMs() >= endMs);
    faults.end();
    watcherFaults.end();
    operatorFaults.end();
    this.enrolmentFaults.end();
    for (const each of this.#backgroundFaults) each.end();
    this.workload.hasEnded = true;
  }

  /** Checks liveness: without faults, the cluster becomes healthy within a bounded time. */
  async #recover(): Promise<void> {
    await this.#runUntil("answering all calls", ANSWERED_MS_MAX, () => {
      const alive = new Set(this.clients.map((client) => client.clock));
      return this.workload.pendingCalls(({ clock }) => alive.has(clock)).length === 0;
    });
    await this.#waitUntilHealthy();
  }

  async #waitUntilHealthy(): Promise<void> {
    const { clock } = this.environment;
    const endMs = clock.monotonicMs() + RECOVERY_MS_MAX;
    for (;;) {
      const problem = await this.#findHealthProblem();
      if (problem === null) return;
      if (clock.monotonicMs() > endMs) throw new Violation(`Not healthy after faults: ${problem}`);
      await this.#runFor(HEALTH_POLL_MS);
    }
  }

  /** Returns the first problem of the cluster. Null: the cluster is healthy. */
  async #findHealthProblem(): Promise<string | null> {
    const masters = this.masters.filter(({ slot }) => slot.isMember);
    const problem =
      processProblem([...masters, ...this.chunkservers]) ??
      this.operator.pendingTask ??
      this.enrolmentFaults.pendingTask ??
      mastersProblem(masters);
    if (problem !== null) return problem;
    try {
      const reply = this.#observer.running?.status({ timeoutMs: 5_000 });
      const status = await this.#runUntilSettled("requesting the status", 60_000, reply);
      return statusProblem(status, this.chunkservers.length) ?? this.#copies.missingCopy();
    } catch (error) {
      if (isAshlarError(error)) return error.message;
      throw error;
    }
  }

  /** Checks the history of the clients, the watches, and all replicas. */
  async #checkResults(): Promise<void> {
    const { running } = this.#observer;
    if (running === null) throw new Violation("The observer is not running");
    await this.#runUntilSettled("reading all files", 300_000, this.workload.readAll(running));
    requireLinearizable(directoryModel, this.workload.history);
    await this.#checkFeed();
    // Bit rot that no process has read yet is detected now, and repaired.
    const isCorrupt = await this.#verifyReplicas();
    if (!isCorrupt) return;
    await this.#runFor(REPORTED_MS);
    await this.#waitUntilHealthy();
    const isStillCorrupt = await this.#verifyReplicas();
    if (isStillCorrupt) throw new Violation("A replica is still corrupt after its repair");
  }

  async #checkFeed(): Promise<void> {
    const { watchers } = this;
    const { lastVersion, history } = this.workload;
    await this.#runUntil("reading the feed", 60_000, () => watchers.hasPassed(lastVersion));
    watchers.check(history, lastVersion);
  }

  /** Verifies all replicas of all files. @returns whether a replica is corrupt */
  async #verifyReplicas(): Promise<boolean> {
    const { running } = this.#observer;
    const verified = running === null ? undefined : hasBadReplica(running);
    const isCorrupt = await this.#runUntilSettled("verifying all replicas", 300_000, verified);
    // A master with a corrupt row may have hidden a copy from the comparison with the index.
    const causes = ["bit rot", "disk set back to an older image"];
    const hasCause = causes.some((kind) => this.result().faultCounts[kind] !== 0);
    if (isCorrupt && !hasCause) throw new Violation("A replica is corrupt without bit rot");
    return isCorrupt;
  }

  /** Stops all processes gracefully: clients first, masters last. */
  async #stopAll(): Promise<void> {
    this.faults.isRestartDisabled = true;
    this.watchers.faults.isRestartDisabled = true;
    this.operatorFaults.isRestartDisabled = true;
    const extras = [this.delayedReports.process, this.enrolmentFaults.process];
    const groups = [
      [...this.clients, this.watchers.process, this.#observer, ...extras],
      this.chunkservers,
      this.masters,
    ];
    for (const group of groups) {
      for (const each of group) if (each.isUp) each.stop();
      await this.#runUntil("stopping all processes", 60_000, () => {
        return group.every((each) => each.state === "down");
      });
      if (group === groups[0]) await this.#checkStates();
    }
  }

  /** Checks the states without clients: no unfinished upload remains, and all data is consistent. */
  async #checkStates(): Promise<void> {
    const masters = this.masters.filter(({ slot }) => slot.isMember);
    const isUnstaged = () => countStaged(masters) === 0;
    await this.#runUntil("reclaiming all unfinished uploads", UNSTAGED_MS_MAX, isUnstaged);
    checkStates(masters);
  }

  async #runFor(durationMs: number): Promise<void> {
    const { clock } = this.environment;
    const endMs = clock.monotonicMs() + durationMs;
    await this.#run(() => clock.monotonicMs() >= endMs);
  }

  /** Runs events until `isDone` returns true, with all checks after each event. */
  async #run(isDone: () => boolean): Promise<void> {
    const { environment, checks } = this;
    const { stateCorruption } = this.operator;
    while (!isDone()) {
      let hadEvent = false;
      try {
        hadEvent = await environment.clock.step();
        checks.checkAll();
        stateCorruption.update();
      } catch (error) {
        this.#onError(error);
      }
      environment.throwIfViolated();
      if (!hadEvent) throw new Violation("No event is scheduled");
    }
  }

  /** Runs events until `isDone` returns true. @throws {Violation} after `msMax` of virtual time */
  async #runUntil(action: string, msMax: number, isDone: () => boolean): Promise<void> {
    const endMs = this.environment.clock.monotonicMs() + msMax;
    await this.#run(() => isDone() || this.environment.clock.monotonicMs() > endMs);
    if (isDone()) return;
    throw new Violation(`Timeout of ${msMax} ms: ${action}${this.#describePending()}`);
  }

  /** Returns the processes that are not up and the pending calls, each one after "; ". */
  #describePending(): string {
    const alive = new Set(this.clients.map((client) => client.clock));
    const calls = this.workload.pendingCalls(({ clock }) => alive.has(clock));
    const processes = [...this.masters, ...this.chunkservers, ...this.clients];
    const down = processes.filter((each) => !each.isUp);
    const states = down.map((each) => `${each.host} is ${each.state}`);
    return [...states, ...calls].map((text) => `; ${text}`).join("");
  }

  /** Runs events until `work` settles. `work` is undefined if the observer is not running. */
  async #runUntilSettled<T>(action: string, msMax: number, work?: Promise<T>): Promise<T> {
    if (work === undefined) throw new Violation(`The observer is not running: ${action}`);
    let isSettled = false;
    const watched = work.finally(() => {
      isSettled = true;
    });
    watched.catch(() => {}); // The `await` below reports it.
    await this.#runUntil(action, msMax, () => isSettled);
    return await watched;
  }

  #reportFailureOf(work: Promise<void>): void {
    work.catch((error: unknown) => this.#onError(error));
  }

  /** Reports an error as a violation, unless a corrupt state of a master explains it. */
  #onError(error: unknown): void {
    if (this.operator.stateCorruption.excuseCrash(error)) return;
    const isKnown = error instanceof Violation;
    const text = error instanceof Error ? error.message : String(error);
    this.environment.reportViolation(
      isKnown ? error : new Violation(`Unexpected error: ${text}`, [], { cause: error }),
    );
  }
}
