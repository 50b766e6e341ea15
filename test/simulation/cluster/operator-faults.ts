import type { Dice } from "./dice.ts";
import type { Operator } from "./operator.ts";
import type { World } from "./world.ts";

/** How often each comes. */
const WEIGHTS = { "state rot": 1 };

export type OperatorFaultKind = keyof typeof WEIGHTS;

const PAUSE_MS = { hot: { min: 3_000, max: 20_000 }, quiet: { min: 20_000, max: 120_000 } };

/** What gives the operator work. Chance of its own: it shifts no other fault. */
export class OperatorFaults {
  readonly counts: Record<OperatorFaultKind, number> = { "state rot": 0 };
  readonly #world: World;
  readonly #operator: Operator;
  readonly #dice: Dice;
  #isOver = false;

  constructor(world: World, operator: Operator) {
    this.#world = world;
    this.#operator = operator;
    this.#dice = world.dice("operator faults");
  }

  async run(): Promise<void> {
    const { clock, rhythm } = this.#world;
    while (!this.#isOver) {
      await rhythm.pause(clock, this.#dice, PAUSE_MS);
      if (this.#isOver) return;
      const kind = this.#dice.weighted(WEIGHTS);
      if (this.#operator.rotState(this.#dice)) this.counts[kind] += 1;
    }
  }

  end(): void {
    this.#isOver = true;
    this.#operator.rot.isHurried = true;
  }
}
