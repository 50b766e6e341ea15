import type { Log } from "../../shared/ports/log.ts";
import { isMassLoss } from "../placement/liveness.ts";
import type { Registry } from "./registry.ts";
import type { RepairScans } from "./repair-scans.ts";

/**
 * Halts repair while too many of the recently alive servers are dead: see `isMassLoss`. A dead server
 * whose chunks all have their copies elsewhere does not count, because it was replaced.
 */
export class MassLossBrake {
  readonly #registry: Registry;
  readonly #scans: RepairScans;
  readonly #shareMax: number;
  readonly #log: Log;
  #isHalted = false;

  constructor(options: {
    readonly registry: Registry;
    readonly scans: RepairScans;
    /** Share of dead servers above which repair halts. */
    readonly shareMax: number;
    readonly log: Log;
  }) {
    this.#registry = options.registry;
    this.#scans = options.scans;
    this.#shareMax = options.shareMax;
    this.#log = options.log;
  }

  get isHalted(): boolean {
    return this.#isHalted;
  }

  reset(): void {
    this.#isHalted = false;
  }

  /** Counts the servers again. */
  update(): void {
    let [dead, servers] = [0, 0];
    for (const { location } of this.#registry.servers()) {
      const { serverId } = location;
      if (!this.#registry.wasRecentlyAlive(serverId)) continue;
      const liveness = this.#registry.liveness(serverId);
      const isDead = liveness === "dead" || liveness === "refused";
      if (isDead && this.#scans.of(serverId)?.hasFoundNothing === true) continue;
      servers += 1;
      if (isDead) dead += 1;
    }
    const isHalted = isMassLoss(dead, servers, this.#shareMax);
    if (isHalted && !this.#isHalted) {
      this.#log.error("Many chunkservers are dead: repair is halted", { dead, servers });
    }
    this.#isHalted = isHalted;
  }
}
