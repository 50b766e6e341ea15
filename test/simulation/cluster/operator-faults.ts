import type { Operator } from "./operator.ts";
import type { SimulatedMaster } from "./simulated-servers.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";
import type { SimulationRandom } from "./simulation-random.ts";

/** Relative frequency by kind of fault. */
const WEIGHTS = {
  "state corruption": 5,
  "members added": 4,
  "members removed": 4,
  "members replaced": 3,
  "new member failure": 4,
};

/** The kinds of faults of `OperatorFaults`. */
export type OperatorFaultKind = keyof typeof WEIGHTS;

const INTERVAL_MS = { busy: { min: 1_000, max: 10_000 }, quiet: { min: 10_000, max: 60_000 } };
const DOWN_MS = { min: 20, max: 6_000 };
const PAUSE_MS = { min: 50, max: 12_000 };

export interface OperatorFaultsDeps {
  readonly operator: Operator;
  /** The masters on spare machines. `Faults` does not affect them. */
  readonly spares: readonly SimulatedMaster[];
}

/**
 * Faults that the operator causes or repairs, and faults of the masters on spare machines. They use
 * a separate source of randomness, so that they do not change the times of other faults.
 */
export class OperatorFaults {
  /** Number of injected faults by kind. */
  readonly counts: Record<OperatorFaultKind, number> = {
    "state corruption": 0,
    "members added": 0,
    "members removed": 0,
    "members replaced": 0,
    "new member failure": 0,
  };
  readonly #environment: SimulationEnvironment;
  readonly #deps: OperatorFaultsDeps;
  readonly #random: SimulationRandom;
  /** Masters whose restart is scheduled. */
  readonly #restarts = new Set<SimulatedMaster>();
  #hasEnded = false;
  /** Set at the end of the simulation: processes that are down are not restarted. */
  isRestartDisabled = false;

  constructor(environment: SimulationEnvironment, deps: OperatorFaultsDeps) {
    this.#environment = environment;
    this.#deps = deps;
    this.#random = environment.randomFor("operator faults");
    for (const spare of deps.spares) {
      spare.isKeptDown = true;
      spare.onEnd = () => this.#restartSoon(spare);
    }
  }

  /** Injects faults until `end` is called. */
  async run(): Promise<void> {
    const { clock, loadPhases } = this.#environment;
    while (!this.#hasEnded) {
      await loadPhases.pause(clock, this.#random, INTERVAL_MS);
      if (this.#hasEnded) return;
      const kind = this.#random.pickWeighted(WEIGHTS);
      if (this.#inject(kind)) this.counts[kind] += 1;
    }
  }

  /** Ends the fault phase. The power failure of all machines includes the spare machines. */
  end(): void {
    this.#hasEnded = true;
    const { operator, spares } = this.#deps;
    operator.stateCorruption.isBackupDue = true;
    for (const spare of spares) if (spare.state !== "down") spare.cutPower();
  }

  /** @returns whether the fault was injected. A fault may not be applicable to the current state */
  #inject(kind: OperatorFaultKind): boolean {
    const { operator } = this.#deps;
    switch (kind) {
      case "state corruption":
        return operator.corruptState(this.#random);
      case "members added":
        return operator.addMembers(this.#random);
      case "members removed":
        return operator.removeMembers(this.#random);
      case "members replaced":
        return operator.replaceMembers(this.#random);
      default:
        return this.#failNewMember();
    }
  }

  /** Kills, stops or pauses a random master on a spare machine, or cuts its power. */
  #failNewMember(): boolean {
    const spare = this.#random.pick(this.#deps.spares);
    if (!spare.isUp || spare.clock?.isFrozen !== false) return false;
    const share = this.#random.fraction();
    if (share < 0.3) spare.kill();
    else if (share < 0.6) spare.cutPower();
    else if (share < 0.7) spare.stop();
    else spare.freezeFor(this.#random.logUniform(PAUSE_MS.min, PAUSE_MS.max));
    return true;
  }

  /** Restarts a master that is down or has failed after some time, as systemd does. */
  #restartSoon(spare: SimulatedMaster): void {
    if (spare.isKeptDown || this.#restarts.has(spare)) return;
    this.#restarts.add(spare);
    this.#environment.clock.after(this.#random.logUniform(DOWN_MS.min, DOWN_MS.max), () => {
      this.#restarts.delete(spare);
      const isRestartAllowed = !spare.isKeptDown && !this.isRestartDisabled;
      if (spare.state === "failed") spare.cutPower();
      else if (spare.state === "down" && isRestartAllowed) spare.start();
    });
  }
}
