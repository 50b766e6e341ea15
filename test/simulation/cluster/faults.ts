import { present } from "../../../shared/base/assert.ts";
import type { Operator } from "./operator.ts";
import type { SimulatedProcess } from "./simulated-process.ts";
import type { World } from "./simulation-environment.ts";
import type { Dice } from "./simulation-random.ts";

type AnyProcess = SimulatedProcess<AsyncDisposable>;

export interface FaultTargets {
  readonly masters: readonly AnyProcess[];
  readonly chunkservers: readonly AnyProcess[];
  readonly clients: readonly AnyProcess[];
  /** The master that leads, if there is one. */
  readonly leader: () => AnyProcess | undefined;
  readonly operator: Operator;
  /** Masters hold an election after this or twice this, in milliseconds. */
  readonly electionMs: number;
}

/** How often each comes. */
const WEIGHTS = {
  kill: 8,
  "power loss": 6,
  "power loss of all": 1.5,
  "graceful stop": 3,
  "client dies": 3,
  "client pauses": 2,
  partition: 5,
  "one-way partition": 5,
  isolation: 4,
  split: 4,
  reset: 5,
  freeze: 5,
  "slow node": 3,
  jitter: 3,
  loss: 3,
  "calendar jump": 3,
  "failing sync": 3,
  "failing write": 2,
  "full disk": 2,
  "bit rot": 2,
  "log rot": 3,
  "master replaced": 4,
  "leadership transfer": 4,
  "leader deposed asleep": 4,
} as const;

export type FaultKind = keyof typeof WEIGHTS;

const PAUSE_MS = { hot: { min: 100, max: 6_000 }, quiet: { min: 4_000, max: 60_000 } };
const LASTS_MS = { min: 50, max: 8_000 };
const DOWN_MS = { min: 20, max: 6_000 };
/** Longer than a client waits for an answer before it asks another master. */
const FROZEN_MS = { min: 50, max: 12_000 };
/** Much depends on the leader, so it is hit more often than the others. */
const LEADER_SHARE = 0.3;
/** Longer than a session lives. */
const CLIENT_PAUSE_MS = { min: 1_000, max: 40_000 };
const JUMP_MS_MAX = 3_600_000;

/** Breaks one thing after the other, as its seed says, and mends each after a while. */
export class Faults {
  readonly counts: Record<FaultKind, number>;
  readonly #world: World;
  readonly #targets: FaultTargets;
  readonly #dice: Dice;
  /** The one server whose disk rots: of each chunk there are good copies elsewhere. */
  readonly #rotting: AnyProcess;
  readonly #restarts = new Set<AnyProcess>();
  isOver = false;
  /** What is down stays down. */
  isWatchOver = false;

  constructor(world: World, targets: FaultTargets) {
    this.#world = world;
    this.#targets = targets;
    this.#dice = world.dice("faults");
    this.#rotting = this.#dice.pick(targets.chunkservers);
    this.counts = Object.fromEntries(Object.keys(WEIGHTS).map((kind) => [kind, 0])) as Record<
      FaultKind,
      number
    >;
  }

  get #servers(): readonly AnyProcess[] {
    return [...this.#targets.masters, ...this.#targets.chunkservers];
  }

  #pickServer(): AnyProcess {
    const leader = this.#dice.isBelow(LEADER_SHARE) ? this.#targets.leader() : undefined;
    return leader ?? this.#dice.pick(this.#servers);
  }

  get #everyone(): readonly AnyProcess[] {
    return [...this.#servers, ...this.#targets.clients];
  }

  get totalCount(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0);
  }

  async run(): Promise<void> {
    const { clock, rhythm } = this.#world;
    while (!this.isOver) {
      await rhythm.pause(clock, this.#dice, PAUSE_MS);
      if (!this.isOver) this.#one();
    }
  }

  /** As an operator or systemd would: what has given up or ended starts again after a while. */
  watch(): void {
    for (const process of this.#everyone) {
      process.onEnd = () => {
        if (process.state === "failed") this.#replaceDisk(process);
        if (process.state === "down") this.#restartSoon(process);
      };
    }
  }

  /**
   * The last fault of each run takes the power of all machines at once, so that only what is on
   * their disks counts (G6). Nothing is broken from here on; what is down comes back.
   */
  end(): void {
    this.isOver = true;
    this.counts["power loss of all"] += 1;
    for (const process of this.#servers) process.cutPower();
    const { network, slowness } = this.#world;
    network.heal();
    slowness.clear();
    this.#world.jitterMs = 0;
    this.#world.lossShare = 0;
    for (const process of this.#everyone) {
      process.thaw();
      this.#mendDisk(process);
    }
    this.#world.trace.note("world", "the faults are over");
  }

  #one(): void {
    const kind = this.#dice.weighted(WEIGHTS);
    if (this.#apply(kind)) this.counts[kind] += 1;
  }

  /** @returns whether there was something to break */
  #apply(kind: FaultKind): boolean {
    switch (kind) {
      case "kill":
      case "power loss":
      case "graceful stop":
        return this.#takeDown(kind, this.#pickServer());
      case "power loss of all":
        for (const process of this.#servers) process.cutPower();
        return true;
      case "client dies":
        return this.#takeDown("kill", this.#dice.pick(this.#targets.clients));
      case "client pauses":
        return this.#freeze(this.#dice.pick(this.#targets.clients), CLIENT_PAUSE_MS);
      case "freeze":
        return this.#freeze(this.#pickServer(), FROZEN_MS);
      case "partition":
      case "one-way partition":
      case "isolation":
      case "split":
      case "reset":
        return this.#harmNetwork(kind);
      case "slow node":
      case "jitter":
      case "loss":
        return this.#slowDown(kind);
      case "log rot":
        return this.#targets.operator.rotLog();
      case "master replaced":
        return this.#targets.operator.loseDisk();
      case "leadership transfer":
        return this.#targets.operator.transfer();
      case "leader deposed asleep":
        return this.#deposeAsleep();
      case "calendar jump":
        return this.#jump(this.#dice.pick(this.#everyone));
      default:
        return this.#harmDisk(kind);
    }
  }

  #takeDown(kind: "kill" | "power loss" | "graceful stop", process: AnyProcess): boolean {
    if (process.state === "down") return false;
    if (kind === "power loss") process.cutPower();
    else if (kind === "kill") process.kill();
    else if (process.isUp && process.clock?.isFrozen === false) process.stop();
    else return false;
    return true;
  }

  #freeze(process: AnyProcess, lasts: { readonly min: number; readonly max: number }): boolean {
    if (process.state === "down" || process.clock?.isFrozen === true) return false;
    process.freezeFor(this.#dice.magnitude(lasts.min, lasts.max));
    return true;
  }

  #harmNetwork(kind: "partition" | "one-way partition" | "isolation" | "split" | "reset"): boolean {
    const { network, trace } = this.#world;
    const one = this.#pickServer().host;
    const others = this.#everyone.map(({ host }) => host).filter((host) => host !== one);
    const other = this.#dice.pick(others);
    if (kind === "reset") network.reset(one, other);
    else if (kind === "partition") network.cut(one, other);
    else if (kind === "one-way partition") this.#cutOneWay(one, other);
    else this.#split(one, kind === "isolation" ? [] : this.#half(others));
    trace.note("world", `${kind}: ${one} and ${other}`);
    if (kind === "reset") return true;
    this.#after(LASTS_MS, () => {
      trace.note("world", "the cables are mended");
      network.heal();
    });
    return true;
  }

  #cutOneWay(one: string, other: string): void {
    const isToOther = this.#dice.isBelow(0.5);
    this.#world.network.cutOneWay(isToOther ? one : other, isToOther ? other : one);
  }

  /** `one` and those who are with it see nothing of the rest. */
  #split(one: string, withIt: readonly string[]): void {
    const side = new Set([one, ...withIt]);
    const rest = this.#everyone.map(({ host }) => host).filter((host) => !side.has(host));
    for (const host of side) for (const far of rest) this.#world.network.cut(host, far);
    this.#world.trace.note("world", `on one side: ${[...side].join(", ")}`);
  }

  #half(hosts: readonly string[]): string[] {
    return hosts.filter(() => this.#dice.isBelow(0.4));
  }

  /**
   * The leader stands still until the others have elected another one, and wakes up behind cables
   * that are cut, with clients on its side: it believes that it leads, and so do they.
   */
  #deposeAsleep(): boolean {
    const { leader, clients, electionMs } = this.#targets;
    const process = leader();
    if (process === undefined || process.clock?.isFrozen !== false) return false;
    const withIt = clients.map(({ host }) => host).filter(() => this.#dice.isBelow(0.4));
    const asleepMs = electionMs * this.#dice.between(1.5, 5);
    this.#world.trace.note("world", `${process.host} is to be deposed asleep`);
    this.#split(process.host, withIt);
    process.freezeFor(asleepMs);
    const { clock, network } = this.#world;
    clock.after(asleepMs + electionMs, () => network.heal());
    return true;
  }

  #slowDown(kind: "slow node" | "jitter" | "loss"): boolean {
    const world = this.#world;
    const { host } = this.#dice.pick(this.#servers);
    const factor = this.#dice.magnitude(3, 100);
    world.trace.note("world", kind === "slow node" ? `${host} is slow, ${factor} times` : kind);
    if (kind === "slow node") world.slowness.set(host, factor);
    else if (kind === "jitter") world.jitterMs = this.#dice.magnitude(2, 200);
    else world.lossShare = this.#dice.magnitude(0.005, 0.2);
    this.#after(LASTS_MS, () => {
      if (kind === "slow node") world.slowness.delete(host);
      else if (kind === "jitter") world.jitterMs = 0;
      else world.lossShare = 0;
    });
    return true;
  }

  #jump(process: AnyProcess): boolean {
    const { clock } = process;
    if (clock === null) return false;
    clock.jumpWall(this.#dice.between(-JUMP_MS_MAX, JUMP_MS_MAX));
    this.#world.trace.note(process.host, "its calendar jumps");
    return true;
  }

  #harmDisk(kind: "failing sync" | "failing write" | "full disk" | "bit rot"): boolean {
    if (kind === "bit rot") return this.#rot();
    const process = this.#dice.pick(this.#servers);
    if (kind === "full disk") {
      process.capacityBytes = process.disk.usedBytes + this.#dice.integer(64 * 1024);
    } else {
      let skip = this.#dice.integer(6);
      const broken = kind === "failing sync" ? "sync" : "write";
      process.diskFault = (operation) => {
        if (operation.kind !== broken) return null;
        skip -= 1;
        return skip < 0 ? "EIO" : null;
      };
    }
    this.#world.trace.note(process.host, `its disk: ${kind}`);
    const life = process.lifeCount;
    this.#after(LASTS_MS, () => {
      // A disk that has failed a process is looked after when that is gone.
      if (process.lifeCount === life && kind !== "full disk") this.#cycle(process);
      this.#mendDisk(process);
    });
    return true;
  }

  #rot(): boolean {
    const process = this.#rotting;
    const files = process.disk.filesBelow("extents");
    if (files.length === 0) return false;
    const path = this.#dice.pick(files);
    let isRotten = false;
    process.disk.corrupt(path, (bytes) => {
      if (bytes.length === 0) return;
      const offset = this.#dice.integer(bytes.length);
      bytes[offset] = (bytes[offset] ?? 0) ^ (1 << this.#dice.integer(8));
      isRotten = true;
    });
    if (isRotten) this.#world.trace.note(process.host, `a bit of ${path} turns over`);
    return isRotten;
  }

  /** A process whose disk failed is of no use until the machine was started anew. */
  #cycle(process: AnyProcess): void {
    if (process.state !== "down") process.cutPower();
  }

  #replaceDisk(process: AnyProcess): void {
    if (this.#restarts.has(process)) return;
    this.#restarts.add(process);
    this.#after(DOWN_MS, () => {
      this.#restarts.delete(process);
      if (process.state === "failed") {
        process.cutPower();
        this.#mendDisk(process);
      } else if (process.state === "down") this.#restartSoon(process);
    });
  }

  #mendDisk(process: AnyProcess): void {
    process.diskFault = () => null;
    process.capacityBytes = undefined;
  }

  #restartSoon(process: AnyProcess): void {
    if (process.isHeld || this.#restarts.has(process)) return;
    this.#restarts.add(process);
    this.#after(DOWN_MS, () => {
      this.#restarts.delete(process);
      if (process.state === "down" && !process.isHeld && !this.isWatchOver) process.start();
    });
  }

  #after({ min, max }: { readonly min: number; readonly max: number }, task: () => void): void {
    this.#world.clock.after(this.#dice.magnitude(min, max), task);
  }
}

/** For a report: what was broken, most often first. */
export function describeFaults(counts: Readonly<Record<string, number>>): string {
  return Object.keys(counts)
    .sort((left, right) => present(counts[right], left) - present(counts[left], right))
    .map((kind) => `${kind} ${counts[kind]}`)
    .join(", ");
}
