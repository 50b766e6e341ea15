import { BackgroundFaults } from "./background-faults.ts";
import type { SimulatedMaster } from "./simulated-servers.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";
import type { SimulationRandom } from "./simulation-random.ts";

/** Additional time of a commit to the store into which a master receives a snapshot. */
const COMMIT_MS = { min: 1, max: 100 };
/** Probability of an interruption at such a commit. */
const PROBABILITY = 0.1;
/** Probability that the sender is killed. Otherwise its connection to the receiver is reset. */
const KILL_PROBABILITY = 0.4;
/** Time between two interruptions of the transfers to one master. So every transfer can end. */
const INTERVAL_MS = 5_000;

/**
 * Interrupts transfers of snapshots between masters: the leader is killed, or its connection to the
 * receiver is reset. The receiver then continues with the rows that it has, at the next leader.
 */
export class InterruptedSnapshots extends BackgroundFaults {
  /** Number of interruptions. */
  readonly counts = { "interrupted snapshot": 0 };
  readonly #environment: SimulationEnvironment;
  readonly #leader: () => SimulatedMaster | undefined;
  readonly #random: SimulationRandom;
  /** When the next interruption of the transfers to a master may begin. */
  readonly #nextMs = new Map<SimulatedMaster, number>();

  constructor(
    environment: SimulationEnvironment,
    deps: {
      readonly masters: readonly SimulatedMaster[];
      readonly leader: () => SimulatedMaster | undefined;
    },
  ) {
    super();
    this.#environment = environment;
    this.#leader = deps.leader;
    this.#random = environment.randomFor("interrupted snapshots");
    for (const master of deps.masters) {
      master.beforeCommit = (_changes, store) => this.#beforeCommit(master, store);
    }
  }

  async #beforeCommit(master: SimulatedMaster, store: string): Promise<void> {
    if (!this.isActive || master.running === null || store === master.running.stateName()) return;
    await master.clock?.sleep(this.#random.logUniform(COMMIT_MS.min, COMMIT_MS.max));
    const leader = this.#leader();
    if (leader === undefined || leader === master || !this.#random.chance(PROBABILITY)) return;
    const { clock, network, trace } = this.#environment;
    if (clock.monotonicMs() < (this.#nextMs.get(master) ?? 0)) return;
    this.#nextMs.set(master, clock.monotonicMs() + INTERVAL_MS);
    this.counts["interrupted snapshot"] += 1;
    trace.note(master.host, `its transfer of a snapshot from ${leader.host} is interrupted`);
    if (this.#random.chance(KILL_PROBABILITY)) leader.kill();
    else network.reset(master.host, leader.host);
  }
}
