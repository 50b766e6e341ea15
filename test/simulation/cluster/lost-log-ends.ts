import type { Operator } from "./operator.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";
import type { SimulationRandom } from "./simulation-random.ts";

/** Time between two attempts. Each fault is followed by the replacement of the master. */
const INTERVAL_MS = { busy: { min: 10_000, max: 90_000 }, quiet: { min: 40_000, max: 200_000 } };

/**
 * A master loses the last segments of its log, or all of them, while it is down. It must refuse to start: it
 * has lost votes and entries that it has acknowledged. Then the operator replaces it.
 */
export class LostLogEnds {
  readonly counts = { "end of a log lost": 0 };
  readonly #environment: SimulationEnvironment;
  readonly #operator: Operator;
  readonly #random: SimulationRandom;
  #isActive = false;

  constructor(environment: SimulationEnvironment, operator: Operator) {
    this.#environment = environment;
    this.#operator = operator;
    this.#random = environment.randomFor("lost log ends");
  }

  /** Begins to inject faults. */
  start(): void {
    this.#isActive = true;
    this.#run().catch((error) => this.#environment.reportViolation(error));
  }

  /** Ends the injection. */
  end(): void {
    this.#isActive = false;
  }

  async #run(): Promise<void> {
    const { clock, loadPhases } = this.#environment;
    while (this.#isActive) {
      await loadPhases.pause(clock, this.#random, INTERVAL_MS);
      if (!this.#isActive) return;
      if (this.#operator.loseLogEnd(this.#random)) this.counts["end of a log lost"] += 1;
    }
  }
}
