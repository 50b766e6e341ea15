import { present } from "../../../shared/base/assert.ts";
import type { Operator } from "./operator.ts";
import type { SimulatedProcess } from "./simulated-process.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";
import type { SimulationRandom } from "./simulation-random.ts";

type AnyProcess = SimulatedProcess<AsyncDisposable>;

/** The processes that faults affect, and the operator. */
export interface FaultsDeps {
  readonly masters: readonly AnyProcess[];
  readonly chunkservers: readonly AnyProcess[];
  readonly clients: readonly AnyProcess[];
  /** Returns the leader. Undefined: there is none. */
  readonly leader: () => AnyProcess | undefined;
  readonly operator: Operator;
  /** Minimum election timeout of the masters. The maximum is twice this value. */
  readonly electionMs: number;
}

/** Relative frequency by kind of fault. */
const WEIGHTS = {
  kill: 8,
  "power loss": 6,
  "power loss of all servers": 1.5,
  "graceful stop": 3,
  "client kill": 3,
  "client pause": 2,
  partition: 5,
  "one-way partition": 5,
  "host isolation": 4,
  "network split": 4,
  "connection reset": 5,
  "process pause": 5,
  "slow node": 3,
  jitter: 3,
  "packet loss": 3,
  "wall clock jump": 3,
  "failing sync": 3,
  "failing write": 2,
  "full disk": 2,
  "bit rot": 2,
  "log corruption": 3,
  "master replacement": 4,
  "leadership transfer": 4,
  "leader deposed while paused": 4,
} as const;

/** The kinds of faults of `Faults`. */
export type FaultKind = keyof typeof WEIGHTS;

/** Time between two faults. */
const INTERVAL_MS = { busy: { min: 100, max: 6_000 }, quiet: { min: 4_000, max: 60_000 } };
/** Duration of a fault of the network or a disk. */
const DURATION_MS = { min: 50, max: 8_000 };
/** Time after which a process that is down is restarted. */
const DOWN_MS = { min: 20, max: 6_000 };
/** The maximum is longer than the time after which a client calls another master. */
const PAUSE_MS = { min: 50, max: 12_000 };
/** Probability that a fault of a server affects the leader. */
const LEADER_PROBABILITY = 0.3;
/** The maximum is longer than the lifetime of an idle session. */
const CLIENT_PAUSE_MS = { min: 1_000, max: 40_000 };
const WALL_JUMP_MS_MAX = 3_600_000;

/** Injects random faults that the seed determines, and repairs each one after some time. */
export class Faults {
  /** Number of injected faults by kind. */
  readonly counts: Record<FaultKind, number>;
  readonly #environment: SimulationEnvironment;
  readonly #deps: FaultsDeps;
  readonly #random: SimulationRandom;
  /**
   * The only server with bit rot in its extents, so each chunk has good copies on other servers.
   */
  readonly corruptibleServer: AnyProcess;
  /** Processes whose restart is scheduled. */
  readonly #restarts = new Set<AnyProcess>();
  /** Whether the fault phase has ended. */
  hasEnded = false;
  /** Set at the end of the simulation: processes that are down are not restarted. */
  isRestartDisabled = false;

  constructor(environment: SimulationEnvironment, deps: FaultsDeps) {
    this.#environment = environment;
    this.#deps = deps;
    this.#random = environment.randomFor("faults");
    this.corruptibleServer = this.#random.pick(deps.chunkservers);
    this.counts = Object.fromEntries(Object.keys(WEIGHTS).map((kind) => [kind, 0])) as Record<
      FaultKind,
      number
    >;
  }

  get #servers(): readonly AnyProcess[] {
    return [...this.#deps.masters, ...this.#deps.chunkservers];
  }

  /** Returns a random server. The leader is chosen more often than the others. */
  #pickServer(): AnyProcess {
    const leader = this.#random.chance(LEADER_PROBABILITY) ? this.#deps.leader() : undefined;
    return leader ?? this.#random.pick(this.#servers);
  }

  get #processes(): readonly AnyProcess[] {
    return [...this.#servers, ...this.#deps.clients];
  }

  get totalCount(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0);
  }

  /** Injects faults until `end` is called. */
  async run(): Promise<void> {
    const { clock, loadPhases } = this.#environment;
    while (!this.hasEnded) {
      await loadPhases.pause(clock, this.#random, INTERVAL_MS);
      if (!this.hasEnded) this.#injectOne();
    }
  }

  /** Restarts every process that ends or fails after some time, as systemd does. */
  superviseProcesses(): void {
    for (const process of this.#processes) {
      process.onEnd = () => {
        if (process.state === "failed") this.#restartFailedSoon(process);
        if (process.state === "down") this.#restartSoon(process);
      };
    }
  }

  /**
   * Ends the fault phase and removes all faults. The last fault cuts the power of all machines at
   * once, so that only durable data survives (G6). Processes that are down are restarted.
   */
  end(): void {
    this.hasEnded = true;
    this.counts["power loss of all servers"] += 1;
    for (const process of this.#servers) process.cutPower();
    // Its session and its unfinished uploads must end without it.
    const isKilled = this.#stopProcess("kill", this.#random.pick(this.#deps.clients));
    if (isKilled) this.counts["client kill"] += 1;
    const { network, slowdownFactors } = this.#environment;
    network.heal();
    slowdownFactors.clear();
    this.#environment.jitterMsMax = 0;
    this.#environment.lossShare = 0;
    for (const process of this.#processes) {
      process.thaw();
      this.#clearDiskFaults(process);
    }
    this.#environment.trace.note("simulation", "the faults are over");
  }

  #injectOne(): void {
    const kind = this.#random.pickWeighted(WEIGHTS);
    if (this.#inject(kind)) this.counts[kind] += 1;
  }

  /** @returns whether the fault was injected. A fault may not be applicable to the current state */
  #inject(kind: FaultKind): boolean {
    switch (kind) {
      case "kill":
      case "power loss":
      case "graceful stop":
        return this.#stopProcess(kind, this.#pickServer());
      case "power loss of all servers":
        for (const process of this.#servers) process.cutPower();
        return true;
      case "client kill":
        return this.#stopProcess("kill", this.#random.pick(this.#deps.clients));
      case "client pause":
        return this.#freeze(this.#random.pick(this.#deps.clients), CLIENT_PAUSE_MS);
      case "process pause":
        return this.#freeze(this.#pickServer(), PAUSE_MS);
      case "partition":
      case "one-way partition":
      case "host isolation":
      case "network split":
      case "connection reset":
        return this.#disturbNetwork(kind);
      case "slow node":
      case "jitter":
      case "packet loss":
        return this.#slowDown(kind);
      case "log corruption":
        return this.#deps.operator.corruptLog();
      case "master replacement":
        return this.#deps.operator.replaceMasterDisk();
      case "leadership transfer":
        return this.#deps.operator.transferLeadership();
      case "leader deposed while paused":
        return this.#deposeWhilePaused();
      case "wall clock jump":
        return this.#jumpWallClock(this.#random.pick(this.#processes));
      default:
        return this.#disturbDisk(kind);
    }
  }

  #stopProcess(kind: "kill" | "power loss" | "graceful stop", process: AnyProcess): boolean {
    if (process.state === "down") return false;
    if (kind === "power loss") process.cutPower();
    else if (kind === "kill") process.kill();
    else if (process.isUp && process.clock?.isFrozen === false) process.stop();
    else return false;
    return true;
  }

  #freeze(process: AnyProcess, pauseMs: { readonly min: number; readonly max: number }): boolean {
    if (process.state === "down" || process.clock?.isFrozen === true) return false;
    process.freezeFor(this.#random.logUniform(pauseMs.min, pauseMs.max));
    return true;
  }

  #disturbNetwork(
    kind:
      | "partition"
      | "one-way partition"
      | "host isolation"
      | "network split"
      | "connection reset",
  ): boolean {
    const { network, trace } = this.#environment;
    const one = this.#pickServer().host;
    const others = this.#processes.map(({ host }) => host).filter((host) => host !== one);
    const other = this.#random.pick(others);
    if (kind === "connection reset") network.reset(one, other);
    else if (kind === "partition") network.cut(one, other);
    else if (kind === "one-way partition") this.#cutOneWay(one, other);
    else this.#split(one, kind === "host isolation" ? [] : this.#pickSome(others));
    trace.note("simulation", `${kind}: ${one} and ${other}`);
    if (kind === "connection reset") return true;
    this.#after(DURATION_MS, () => {
      trace.note("simulation", "all links are restored");
      network.heal();
    });
    return true;
  }

  #cutOneWay(one: string, other: string): void {
    const isToOther = this.#random.chance(0.5);
    this.#environment.network.cutOneWay(isToOther ? one : other, isToOther ? other : one);
  }

  /**
   * Cuts all links between `one` and `others` on one side, and the other hosts on the other side.
   */
  #split(one: string, others: readonly string[]): void {
    const side = new Set([one, ...others]);
    const rest = this.#processes.map(({ host }) => host).filter((host) => !side.has(host));
    for (const host of side) for (const far of rest) this.#environment.network.cut(host, far);
    this.#environment.trace.note("simulation", `hosts on one side: ${[...side].join(", ")}`);
  }

  /** Returns a random subset of the hosts. */
  #pickSome(hosts: readonly string[]): string[] {
    return hosts.filter(() => this.#random.chance(0.4));
  }

  /**
   * Pauses the leader until the other masters have elected another one, and cuts its links to all
   * hosts except some clients. When it resumes, the leader and these clients still treat it as the
   * leader.
   */
  #deposeWhilePaused(): boolean {
    const { leader, clients, electionMs } = this.#deps;
    const process = leader();
    if (process === undefined || process.clock?.isFrozen !== false) return false;
    const sameSide = clients.map(({ host }) => host).filter(() => this.#random.chance(0.4));
    const pauseMs = electionMs * this.#random.uniform(1.5, 5);
    this.#environment.trace.note(
      "simulation",
      `${process.host} is paused and cut off to depose it`,
    );
    this.#split(process.host, sameSide);
    process.freezeFor(pauseMs);
    const { clock, network } = this.#environment;
    clock.after(pauseMs + electionMs, () => network.heal());
    return true;
  }

  #slowDown(kind: "slow node" | "jitter" | "packet loss"): boolean {
    const environment = this.#environment;
    const { host } = this.#random.pick(this.#servers);
    const factor = this.#random.logUniform(3, 100);
    environment.trace.note(
      "simulation",
      kind === "slow node" ? `${host} is slower by a factor of ${factor}` : kind,
    );
    if (kind === "slow node") environment.slowdownFactors.set(host, factor);
    else if (kind === "jitter") environment.jitterMsMax = this.#random.logUniform(2, 200);
    else environment.lossShare = this.#random.logUniform(0.005, 0.2);
    this.#after(DURATION_MS, () => {
      if (kind === "slow node") environment.slowdownFactors.delete(host);
      else if (kind === "jitter") environment.jitterMsMax = 0;
      else environment.lossShare = 0;
    });
    return true;
  }

  #jumpWallClock(process: AnyProcess): boolean {
    const { clock } = process;
    if (clock === null) return false;
    clock.jumpWall(this.#random.uniform(-WALL_JUMP_MS_MAX, WALL_JUMP_MS_MAX));
    this.#environment.trace.note(process.host, "its wall clock jumps");
    return true;
  }

  #disturbDisk(kind: "failing sync" | "failing write" | "full disk" | "bit rot"): boolean {
    if (kind === "bit rot") return this.#corruptExtent();
    const process = this.#random.pick(this.#servers);
    if (kind === "full disk") {
      process.capacityBytes = process.disk.usedBytes + this.#random.integer(64 * 1024);
    } else {
      let skip = this.#random.integer(6);
      const failing = kind === "failing sync" ? "sync" : "write";
      process.diskFault = (operation) => {
        if (operation.kind !== failing) return null;
        skip -= 1;
        return skip < 0 ? "EIO" : null;
      };
    }
    this.#environment.trace.note(process.host, `disk fault: ${kind}`);
    const { runCount } = process;
    this.#after(DURATION_MS, () => {
      // A process that continues after an error of its disk must end before the disk is repaired.
      if (process.runCount === runCount && kind !== "full disk") this.#cutPowerIfUp(process);
      this.#clearDiskFaults(process);
    });
    return true;
  }

  #corruptExtent(): boolean {
    const process = this.corruptibleServer;
    const files = process.disk.filesBelow("extents");
    if (files.length === 0) return false;
    const path = this.#random.pick(files);
    let isFlipped = false;
    process.disk.corrupt(path, (bytes) => {
      if (bytes.length === 0) return;
      const offset = this.#random.integer(bytes.length);
      bytes[offset] = (bytes[offset] ?? 0) ^ (1 << this.#random.integer(8));
      isFlipped = true;
    });
    if (isFlipped) this.#environment.trace.note(process.host, `a bit of ${path} is flipped`);
    return isFlipped;
  }

  /** Cuts the power of a process that is not down. */
  #cutPowerIfUp(process: AnyProcess): void {
    if (process.state !== "down") process.cutPower();
  }

  /** Stops a failed process after some time and removes its disk faults. */
  #restartFailedSoon(process: AnyProcess): void {
    if (this.#restarts.has(process)) return;
    this.#restarts.add(process);
    this.#after(DOWN_MS, () => {
      this.#restarts.delete(process);
      if (process.state === "failed") {
        process.cutPower();
        this.#clearDiskFaults(process);
      } else if (process.state === "down") this.#restartSoon(process);
    });
  }

  #clearDiskFaults(process: AnyProcess): void {
    process.diskFault = () => null;
    process.capacityBytes = undefined;
  }

  /** Starts a process that is down after some time, unless the operator repairs it. */
  #restartSoon(process: AnyProcess): void {
    if (process.isKeptDown || this.#restarts.has(process)) return;
    this.#restarts.add(process);
    this.#after(DOWN_MS, () => {
      this.#restarts.delete(process);
      const isRestartAllowed = !process.isKeptDown && !this.isRestartDisabled;
      if (process.state === "down" && isRestartAllowed) process.start();
    });
  }

  #after({ min, max }: { readonly min: number; readonly max: number }, task: () => void): void {
    this.#environment.clock.after(this.#random.logUniform(min, max), task);
  }
}

/** Formats counts by kind for a report, the highest first. */
export function describeCounts(counts: Readonly<Record<string, number>>): string {
  return Object.keys(counts)
    .sort((left, right) => present(counts[right], left) - present(counts[left], right))
    .map((kind) => `${kind} ${counts[kind]}`)
    .join(", ");
}
