import { describeStalled, TransferWatch } from "../../../scripts/soak/data/transfer-watch.ts";
import { present } from "../../../shared/base/assert.ts";
import { makeClient, type SimulatedClient } from "../cluster/simulated-client.ts";
import {
  addressesOf,
  makeChunkserver,
  makeMasters,
  type SimulatedChunkserver,
  type SimulatedMaster,
} from "../cluster/simulated-servers.ts";
import { SimulationEnvironment } from "../cluster/simulation-environment.ts";
import type { SimulationRandom } from "../cluster/simulation-random.ts";
import { Violation } from "../cluster/violation.ts";
import { type FlowCounts, FlowWorkload } from "./flow-workload.ts";

const MIB = 1024 * 1024;
const CLIENTS = 4;
/** Writers, and as many readers, of one client. */
const CALLERS = 16;
const LOAD_MS = 25_000;
const SET_UP_MS_MAX = 60_000;
/** Longest time until the transfers in progress have ended after the load. */
const END_MS_MAX = 300_000;
const TOKEN_VALID_MS = 24 * 60 * 60 * 1_000;
const CHECK_MS = 250;
/** A write waits long for the memory of its servers, which has room for a few. */
const LIMITS = { stallMsMax: 20_000, beginMsMax: 120_000 };
/** All disks are slower than usual, so that memory is what the transfers wait for. */
const SLOWDOWN = { min: 15, max: 60 };
/** Factor of a disk that stands still for a moment. */
const STALL_FACTOR = 2_000;
const STALL_MS = { min: 200, max: 2_000 };
const FAULT_INTERVAL_MS = { min: 1_000, max: 10_000 };
/** Longer than a write waits for its turn here. */
const INTENT_LIFETIME_MS = 180_000;
/** Small budgets: a few writes and reads fill a server. The write budget is the least that a server uses. */
const BUDGETS = { writeBytesInFlightMax: 4 * MIB, readBytesInFlightMax: 8 * MIB };

/** Result of one seed. */
export interface FlowResult extends FlowCounts {
  readonly virtualMs: number;
  readonly stalls: number;
  readonly kills: number;
}

/**
 * The data path under load: 64 writers and 64 readers of 4 clients, over chains in all orders, with slow disks and
 * disks that stand still, readers that pause, clients that are killed, and small budgets of memory.
 *
 * Every byte is checked, no call fails, every transfer moves, and all of them end.
 */
export class FlowSimulation {
  readonly #environment: SimulationEnvironment;
  readonly #masters: readonly SimulatedMaster[];
  readonly #chunkservers: readonly SimulatedChunkserver[];
  readonly #clients: readonly SimulatedClient[];
  readonly #operator: SimulatedClient;
  readonly #watch: TransferWatch;
  readonly #workload: FlowWorkload;
  readonly #random: SimulationRandom;
  readonly #loadMs: number;
  #joinToken: string | undefined;
  #stalls = 0;
  #kills = 0;
  #nextCheckMs = 0;

  /** @param loadMs virtual time of the load, in milliseconds */
  constructor(seed: number, loadMs = LOAD_MS) {
    this.#loadMs = loadMs;
    const environment = new SimulationEnvironment(seed);
    this.#environment = environment;
    this.#random = environment.randomFor("flow faults");
    this.#watch = new TransferWatch(LIMITS, {
      get nowMs() {
        return environment.clock.monotonicMs();
      },
    });
    this.#workload = new FlowWorkload(environment, this.#watch, CLIENTS * CALLERS);
    this.#masters = makeMasters(environment, {
      ...{ masters: 3, pace: 6 },
      settings: { intentLifetimeMs: INTENT_LIFETIME_MS },
    });
    const masters = (): string[] => addressesOf(this.#masters);
    const serverCount = 3 + this.#random.integer(2);
    this.#chunkservers = numbers(serverCount).map((id) =>
      makeChunkserver(environment, id, masters, () => this.#joinToken, BUDGETS),
    );
    this.#clients = numbers(CLIENTS).map((id) =>
      makeClient(environment, `k${id}`, {
        masters,
        onConnected: (run, fs) => {
          const host = `k${id}`;
          this.#workload.start(run, { fs, host, first: (id - 1) * CALLERS, count: CALLERS });
        },
      }),
    );
    this.#operator = makeClient(environment, "operator", { masters, onConnected: () => {} });
  }

  /** Runs the simulation. @throws {Violation} */
  async run(): Promise<FlowResult> {
    const onRejection = (error: unknown): void => {
      const text = error instanceof Error ? error.message : String(error);
      const violation = new Violation(`Unexpected error: ${text}`, [], { cause: error });
      this.#environment.reportViolation(violation);
    };
    process.on("unhandledRejection", onRejection);
    try {
      await this.#setUp();
      await this.#load();
      await this.#stopAll();
    } finally {
      process.removeListener("unhandledRejection", onRejection);
    }
    const virtualMs = this.#environment.clock.monotonicMs();
    return { ...this.#workload.counts, virtualMs, stalls: this.#stalls, kills: this.#kills };
  }

  async #setUp(): Promise<void> {
    for (const master of this.#masters) if (master.slot.isMember) master.start();
    this.#operator.start();
    await this.#runUntil("founding the cluster", SET_UP_MS_MAX, () => this.#operator.isUp);
    const operator = present(this.#operator.running, "the operator is connected");
    const made = operator.enrolment.makeToken({ validMs: TOKEN_VALID_MS }).then((token) => {
      this.#joinToken = token;
    });
    made.catch((error: unknown) => this.#environment.reportViolation(new Violation(`${error}`)));
    await this.#runUntil("making a token", SET_UP_MS_MAX, () => this.#joinToken !== undefined);
    for (const server of this.#chunkservers) server.start();
    await this.#runUntil("starting the chunkservers", SET_UP_MS_MAX, () =>
      this.#chunkservers.every(({ running }) => running?.ready().ready === true),
    );
    for (const { host } of this.#chunkservers) this.#setSpeed(host, this.#slowdown());
    for (const client of this.#clients) client.start();
    await this.#runUntil("connecting the clients", SET_UP_MS_MAX, () =>
      this.#clients.every(({ isUp }) => isUp),
    );
  }

  async #load(): Promise<void> {
    const { clock } = this.#environment;
    const endMs = clock.monotonicMs() + this.#loadMs;
    let nextFaultMs = clock.monotonicMs();
    await this.#run(() => {
      if (clock.monotonicMs() >= nextFaultMs) {
        const { min, max } = FAULT_INTERVAL_MS;
        nextFaultMs = clock.monotonicMs() + this.#random.logUniform(min, max);
        if (this.#random.chance(0.8)) this.#stall();
        else this.#killClient();
      }
      return clock.monotonicMs() >= endMs;
    });
    this.#workload.hasEnded = true;
    await this.#runUntil("ending all transfers", END_MS_MAX, () => this.#watch.activeCount === 0);
  }

  /** Lets the disk and the links of a chunkserver stand still for a moment. */
  #stall(): void {
    const { host } = this.#random.pick(this.#chunkservers);
    const { min, max } = STALL_MS;
    this.#stalls += 1;
    this.#setSpeed(host, STALL_FACTOR);
    this.#environment.clock.after(this.#random.logUniform(min, max), () => {
      this.#setSpeed(host, this.#slowdown());
      this.#watch.noteFault();
    });
    this.#watch.noteFault();
  }

  /** Kills a client with all its transfers, and starts it again. */
  #killClient(): void {
    const client = this.#random.pick(this.#clients);
    if (!client.isUp) return;
    this.#kills += 1;
    client.kill();
    this.#workload.forget(client.host);
    client.start();
  }

  #slowdown(): number {
    return this.#random.logUniform(SLOWDOWN.min, SLOWDOWN.max);
  }

  #setSpeed(host: string, factor: number): void {
    this.#environment.slowdownFactors.set(host, factor);
  }

  async #stopAll(): Promise<void> {
    for (const group of [[...this.#clients, this.#operator], this.#chunkservers, this.#masters]) {
      for (const each of group) if (each.isUp) each.stop();
      await this.#runUntil("stopping all processes", 60_000, () =>
        group.every(({ state }) => state === "down"),
      );
    }
  }

  async #runUntil(action: string, msMax: number, isDone: () => boolean): Promise<void> {
    const { clock } = this.#environment;
    const endMs = clock.monotonicMs() + msMax;
    await this.#run(() => isDone() || clock.monotonicMs() > endMs);
    if (!isDone()) throw new Violation(`Timeout of ${msMax} ms: ${action}`);
  }

  async #run(isDone: () => boolean): Promise<void> {
    const { clock } = this.#environment;
    while (!isDone()) {
      if (!(await clock.step())) throw new Violation("No event is scheduled");
      this.#environment.throwIfViolated();
      if (clock.monotonicMs() < this.#nextCheckMs) continue;
      this.#nextCheckMs = clock.monotonicMs() + CHECK_MS;
      const [stalled] = this.#watch.stalled();
      if (stalled !== undefined) throw new Violation(describeStalled(stalled));
    }
  }
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}
