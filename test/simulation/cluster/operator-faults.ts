import type { Operator } from "./operator.ts";
import type { SimulatedMaster } from "./simulated-servers.ts";
import type { World } from "./simulation-environment.ts";
import type { Dice } from "./simulation-random.ts";

/** How often each comes. */
const WEIGHTS = {
  "state rot": 5,
  "group grows": 4,
  "group shrinks": 4,
  "members exchanged": 3,
  "newcomer fails": 4,
};

export type OperatorFaultKind = keyof typeof WEIGHTS;

const PAUSE_MS = { hot: { min: 1_000, max: 10_000 }, quiet: { min: 10_000, max: 60_000 } };
const DOWN_MS = { min: 20, max: 6_000 };
const FROZEN_MS = { min: 50, max: 12_000 };

export interface OperatorFaultsOptions {
  readonly operator: Operator;
  /** Masters on seats that were empty when the cluster began: no other fault looks for them. */
  readonly spares: readonly SimulatedMaster[];
}

/** What gives the operator work, and what befalls new masters. Chance of its own: it shifts no other fault. */
export class OperatorFaults {
  readonly counts: Record<OperatorFaultKind, number> = {
    "state rot": 0,
    "group grows": 0,
    "group shrinks": 0,
    "members exchanged": 0,
    "newcomer fails": 0,
  };
  readonly #world: World;
  readonly #options: OperatorFaultsOptions;
  readonly #dice: Dice;
  readonly #restarts = new Set<SimulatedMaster>();
  #isOver = false;
  /** What is down stays down. */
  isWatchOver = false;

  constructor(world: World, options: OperatorFaultsOptions) {
    this.#world = world;
    this.#options = options;
    this.#dice = world.dice("operator faults");
    for (const spare of options.spares) {
      spare.isHeld = true;
      spare.onEnd = () => this.#restartSoon(spare);
    }
  }

  async run(): Promise<void> {
    const { clock, rhythm } = this.#world;
    while (!this.#isOver) {
      await rhythm.pause(clock, this.#dice, PAUSE_MS);
      if (this.#isOver) return;
      const kind = this.#dice.weighted(WEIGHTS);
      if (this.#apply(kind)) this.counts[kind] += 1;
    }
  }

  /** The power of all machines fails at the end, of these too. */
  end(): void {
    this.#isOver = true;
    const { operator, spares } = this.#options;
    operator.rot.isHurried = true;
    for (const spare of spares) if (spare.state !== "down") spare.cutPower();
  }

  #apply(kind: OperatorFaultKind): boolean {
    const { operator } = this.#options;
    switch (kind) {
      case "state rot":
        return operator.rotState(this.#dice);
      case "group grows":
        return operator.grow(this.#dice);
      case "group shrinks":
        return operator.shrink(this.#dice);
      case "members exchanged":
        return operator.exchange(this.#dice);
      default:
        return this.#failNewcomer();
    }
  }

  #failNewcomer(): boolean {
    const spare = this.#dice.pick(this.#options.spares);
    if (!spare.isUp || spare.clock?.isFrozen !== false) return false;
    const share = this.#dice.fraction();
    if (share < 0.3) spare.kill();
    else if (share < 0.6) spare.cutPower();
    else if (share < 0.7) spare.stop();
    else spare.freezeFor(this.#dice.magnitude(FROZEN_MS.min, FROZEN_MS.max));
    return true;
  }

  /** As an operator or systemd would. */
  #restartSoon(spare: SimulatedMaster): void {
    if (spare.isHeld || this.#restarts.has(spare)) return;
    this.#restarts.add(spare);
    this.#world.clock.after(this.#dice.magnitude(DOWN_MS.min, DOWN_MS.max), () => {
      this.#restarts.delete(spare);
      if (spare.state === "failed") spare.cutPower();
      else if (spare.state === "down" && !spare.isHeld && !this.isWatchOver) spare.start();
    });
  }
}
