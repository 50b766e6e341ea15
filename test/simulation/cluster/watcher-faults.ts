import type { SimulatedClient } from "./simulated-client.ts";
import type { World } from "./simulation-environment.ts";
import type { Dice } from "./simulation-random.ts";

/** How often each comes. */
const WEIGHTS = {
  "watcher cut off": 4,
  "watcher reset": 3,
  "watcher paused": 4,
  "watcher restarted": 4,
};

export type WatcherFaultKind = keyof typeof WEIGHTS;

const PAUSE_MS = { hot: { min: 1_000, max: 10_000 }, quiet: { min: 8_000, max: 60_000 } };
const CUT_MS = { min: 100, max: 20_000 };
const PAUSED_MS = { min: 500, max: 30_000 };
/** Beyond the retention of the feed. */
export const WATCHER_AWAY_MS_MAX = 90_000;
const AWAY_MS = { min: 30_000, max: WATCHER_AWAY_MS_MAX };
const AWAY_SHARE = 0.4;
const DOWN_MS = { min: 20, max: 10_000 };

export interface WatcherTargets {
  readonly watcher: SimulatedClient;
  /** Where it may be connected to. */
  readonly masters: readonly { readonly host: string }[];
  /** Called before a start in which it does not know where in an entry it was. */
  readonly forgetPlace: () => void;
}

/**
 * What befalls a program that watches the feed: its wires break or are cut, it stands still for
 * longer than the feed is kept, it dies and starts again. Chance of its own: no other fault comes at
 * another time because of these.
 */
export class WatcherFaults {
  readonly counts: Record<WatcherFaultKind, number> = {
    "watcher cut off": 0,
    "watcher reset": 0,
    "watcher paused": 0,
    "watcher restarted": 0,
  };
  readonly #world: World;
  readonly #targets: WatcherTargets;
  readonly #dice: Dice;
  #isOver = false;
  /** What is down stays down. */
  isWatchOver = false;

  constructor(world: World, targets: WatcherTargets) {
    this.#world = world;
    this.#targets = targets;
    this.#dice = world.dice("watcher faults");
  }

  async run(): Promise<void> {
    const { clock, rhythm } = this.#world;
    const { watcher } = this.#targets;
    watcher.onEnd = () => this.#restartSoon();
    while (!this.#isOver) {
      await rhythm.pause(clock, this.#dice, PAUSE_MS);
      if (this.#isOver) return;
      const kind = this.#dice.weighted(WEIGHTS);
      if (this.#apply(kind)) this.counts[kind] += 1;
    }
  }

  end(): void {
    this.#isOver = true;
    this.#targets.watcher.thaw();
  }

  #apply(kind: WatcherFaultKind): boolean {
    const { watcher } = this.#targets;
    if (!watcher.isUp || watcher.clock?.isFrozen !== false) return false;
    if (kind === "watcher restarted") return this.#takeDown();
    if (kind === "watcher paused") return this.#pause();
    const isReset = kind === "watcher reset";
    const hosts = this.#targets.masters.map(({ host }) => host);
    // From some of them, so that it goes on elsewhere, or from all.
    const share = isReset || this.#dice.isBelow(0.5) ? 1 : 0.6;
    for (const host of hosts) if (this.#dice.isBelow(share)) this.#harm(host, isReset);
    return true;
  }

  #harm(host: string, isReset: boolean): void {
    const { network, clock, trace } = this.#world;
    const own = this.#targets.watcher.host;
    trace.note("world", `${isReset ? "reset" : "cut"}: ${own} and ${host}`);
    if (isReset) {
      network.reset(own, host);
      return;
    }
    const isOneWay = this.#dice.isBelow(0.3);
    if (isOneWay) network.cutOneWay(host, own);
    else network.cut(own, host);
    clock.after(this.#dice.magnitude(CUT_MS.min, CUT_MS.max), () => network.healBetween(own, host));
  }

  #pause(): boolean {
    const { watcher } = this.#targets;
    const { min, max } = this.#dice.isBelow(AWAY_SHARE) ? AWAY_MS : PAUSED_MS;
    watcher.freezeFor(this.#dice.magnitude(min, max));
    return true;
  }

  #takeDown(): boolean {
    const { watcher } = this.#targets;
    const share = this.#dice.fraction();
    if (share < 0.4) watcher.kill();
    else if (share < 0.7) watcher.cutPower();
    else watcher.stop();
    return true;
  }

  #restartSoon(): void {
    const { watcher, forgetPlace } = this.#targets;
    this.#world.clock.after(this.#dice.magnitude(DOWN_MS.min, DOWN_MS.max), () => {
      if (watcher.state !== "down" || this.isWatchOver) return;
      if (this.#dice.isBelow(0.5)) forgetPlace();
      watcher.start();
    });
  }
}
