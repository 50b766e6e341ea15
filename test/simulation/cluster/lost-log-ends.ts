import { RepeatedFaults } from "./background-faults.ts";
import type { Operator } from "./operator.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";

/** Time between two attempts. Each fault is followed by the replacement of the master. */
const INTERVAL_MS = { busy: { min: 10_000, max: 90_000 }, quiet: { min: 40_000, max: 200_000 } };

/**
 * A master loses the last segments of its log, or all of them, while it is down. It must refuse to start: it
 * has lost votes and entries that it has acknowledged. Then the operator replaces it.
 */
export class LostLogEnds extends RepeatedFaults {
  readonly counts = { "end of a log lost": 0 };
  readonly #operator: Operator;

  constructor(environment: SimulationEnvironment, operator: Operator) {
    super(environment, { name: "lost log ends", intervalMs: INTERVAL_MS });
    this.#operator = operator;
  }

  protected async inject(): Promise<void> {
    if (this.#operator.loseLogEnd(this.random)) this.counts["end of a log lost"] += 1;
  }
}
