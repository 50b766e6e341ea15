import type { PauseRanges } from "./load-phases.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";
import type { SimulationRandom } from "./simulation-random.ts";

/** Faults with a source of randomness and times of their own, between `start` and `end`. */
export abstract class BackgroundFaults {
  /** Number of faults, by kind. */
  abstract readonly counts: Readonly<Record<string, number>>;
  #isActive = false;

  protected get isActive(): boolean {
    return this.#isActive;
  }

  /** Begins to inject faults. */
  start(): void {
    this.#isActive = true;
  }

  /** Ends the injection. A fault in progress ends within a short time. */
  end(): void {
    this.#isActive = false;
  }
}

/** Options of `RepeatedFaults`. */
export interface RepeatedFaultsOptions {
  /** Name of the source of randomness. */
  readonly name: string;
  /** Time from the end of a fault to the next one. */
  readonly intervalMs: PauseRanges;
}

/** Background faults that follow each other with random pauses. */
export abstract class RepeatedFaults extends BackgroundFaults {
  protected readonly environment: SimulationEnvironment;
  protected readonly random: SimulationRandom;
  readonly #intervalMs: PauseRanges;

  constructor(environment: SimulationEnvironment, { name, intervalMs }: RepeatedFaultsOptions) {
    super();
    this.environment = environment;
    this.random = environment.randomFor(name);
    this.#intervalMs = intervalMs;
  }

  override start(): void {
    super.start();
    this.#run().catch((error) => this.environment.reportViolation(error));
  }

  /** Injects a fault and counts it, if it is applicable to the current state. Resolves at its end. */
  protected abstract inject(): Promise<void>;

  async #run(): Promise<void> {
    const { clock, loadPhases } = this.environment;
    while (this.isActive) {
      await loadPhases.pause(clock, this.random, this.#intervalMs);
      if (this.isActive) await this.inject();
    }
  }
}
