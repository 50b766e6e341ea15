import type { SimulatedClient } from "./simulated-client.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";
import type { SimulationRandom } from "./simulation-random.ts";

/** Relative frequency by kind of fault. */
const WEIGHTS = {
  "watcher disconnected": 4,
  "watcher connection reset": 3,
  "watcher paused": 4,
  "watcher restarted": 4,
};

/** The kinds of faults of `WatcherFaults`. */
export type WatcherFaultKind = keyof typeof WEIGHTS;

const INTERVAL_MS = { busy: { min: 1_000, max: 10_000 }, quiet: { min: 8_000, max: 60_000 } };
const CUT_MS = { min: 100, max: 20_000 };
const PAUSE_MS = { min: 500, max: 30_000 };
/** Upper bound of a pause that exceeds the retention of the feed. */
export const WATCHER_LONG_PAUSE_MS_MAX = 90_000;
const LONG_PAUSE_MS = { min: 30_000, max: WATCHER_LONG_PAUSE_MS_MAX };
const LONG_PAUSE_PROBABILITY = 0.4;
const DOWN_MS = { min: 20, max: 10_000 };

export interface WatcherFaultsDeps {
  readonly watcher: SimulatedClient;
  /** The masters to which the watcher may be connected. */
  readonly masters: readonly { readonly host: string }[];
  /** Called before a start in which the watcher resumes from an index without a sequence number. */
  readonly forgetPosition: () => void;
}

/**
 * Faults of the process with the disturbed watch: its connections break, its links are cut, it is
 * paused for longer than the retention of the feed, and it ends and starts again. They use a
 * separate source of randomness, so that they do not change the times of other faults.
 */
export class WatcherFaults {
  /** Number of injected faults by kind. */
  readonly counts: Record<WatcherFaultKind, number> = {
    "watcher disconnected": 0,
    "watcher connection reset": 0,
    "watcher paused": 0,
    "watcher restarted": 0,
  };
  readonly #environment: SimulationEnvironment;
  readonly #deps: WatcherFaultsDeps;
  readonly #random: SimulationRandom;
  #hasEnded = false;
  /** Set at the end of the simulation: the watcher is not restarted. */
  isRestartDisabled = false;

  constructor(environment: SimulationEnvironment, deps: WatcherFaultsDeps) {
    this.#environment = environment;
    this.#deps = deps;
    this.#random = environment.randomFor("watcher faults");
  }

  /** Injects faults until `end` is called. */
  async run(): Promise<void> {
    const { clock, loadPhases } = this.#environment;
    const { watcher } = this.#deps;
    watcher.onEnd = () => this.#restartSoon();
    while (!this.#hasEnded) {
      await loadPhases.pause(clock, this.#random, INTERVAL_MS);
      if (this.#hasEnded) return;
      const kind = this.#random.pickWeighted(WEIGHTS);
      if (this.#inject(kind)) this.counts[kind] += 1;
    }
  }

  /** Ends the fault phase and resumes the watcher. */
  end(): void {
    this.#hasEnded = true;
    this.#deps.watcher.thaw();
  }

  #inject(kind: WatcherFaultKind): boolean {
    const { watcher } = this.#deps;
    if (!watcher.isUp || watcher.clock?.isFrozen !== false) return false;
    if (kind === "watcher restarted") return this.#stopProcess();
    if (kind === "watcher paused") return this.#pause();
    const isReset = kind === "watcher connection reset";
    const hosts = this.#deps.masters.map(({ host }) => host);
    // Either all masters are disconnected, or some, so that the watch continues at another master.
    const share = isReset || this.#random.chance(0.5) ? 1 : 0.6;
    for (const host of hosts) if (this.#random.chance(share)) this.#disconnectFrom(host, isReset);
    return true;
  }

  /** Resets the connection to a master, or cuts the link to it for some time. */
  #disconnectFrom(host: string, isReset: boolean): void {
    const { network, clock, trace } = this.#environment;
    const watcher = this.#deps.watcher.host;
    trace.note("simulation", `${isReset ? "reset" : "cut"}: ${watcher} and ${host}`);
    if (isReset) {
      network.reset(watcher, host);
      return;
    }
    const isOneWay = this.#random.chance(0.3);
    if (isOneWay) network.cutOneWay(host, watcher);
    else network.cut(watcher, host);
    clock.after(this.#random.logUniform(CUT_MS.min, CUT_MS.max), () =>
      network.healBetween(watcher, host),
    );
  }

  #pause(): boolean {
    const { watcher } = this.#deps;
    const { min, max } = this.#random.chance(LONG_PAUSE_PROBABILITY) ? LONG_PAUSE_MS : PAUSE_MS;
    watcher.freezeFor(this.#random.logUniform(min, max));
    return true;
  }

  #stopProcess(): boolean {
    const { watcher } = this.#deps;
    const share = this.#random.fraction();
    if (share < 0.4) watcher.kill();
    else if (share < 0.7) watcher.cutPower();
    else watcher.stop();
    return true;
  }

  /** Restarts the watcher after some time, in half of the cases without its exact position. */
  #restartSoon(): void {
    const { watcher, forgetPosition } = this.#deps;
    this.#environment.clock.after(this.#random.logUniform(DOWN_MS.min, DOWN_MS.max), () => {
      if (watcher.state !== "down" || this.isRestartDisabled) return;
      if (this.#random.chance(0.5)) forgetPosition();
      watcher.start();
    });
  }
}
