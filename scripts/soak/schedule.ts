import type { Fault, Soak } from "./fault.ts";
import { FULL_DISKS } from "./full-disk-faults.ts";
import { failSite, type IoErrorCase, nodeFor } from "./io-faults.ts";
import { PARTITIONS, SLOW_LINKS } from "./network-faults.ts";
import type { FaultKind } from "./options.ts";
import { DEAD_DISKS, POWER_CUTS } from "./power-faults.ts";
import { CLOCK_JUMPS, KILLS, PAUSES } from "./process-faults.ts";

const VARIANTS: Readonly<Record<Exclude<FaultKind, "io-error">, readonly Fault[]>> = {
  "power-cut": POWER_CUTS,
  "dead-disk": DEAD_DISKS,
  kill: KILLS,
  pause: PAUSES,
  partition: PARTITIONS,
  "slow-link": SLOW_LINKS,
  "clock-jump": CLOCK_JUMPS,
  "full-disk": FULL_DISKS,
};
/** Attempts for an error that did not fire, each on another node. */
const ATTEMPTS_PER_CASE = 3;

interface PendingCase {
  readonly case: IoErrorCase;
  readonly attempt: number;
}

/** Chooses the next fault: alternates between the kinds, and between the variants of a kind. */
export class Schedule {
  readonly #soak: Soak;
  readonly #pending: PendingCase[];
  readonly #endMs: number;
  readonly #turns = new Map<FaultKind, number>();
  #turn = 0;

  constructor(soak: Soak, cases: readonly IoErrorCase[]) {
    this.#soak = soak;
    this.#pending = cases.map((each) => ({ case: each, attempt: 1 }));
    this.#endMs = performance.now() + soak.options.minutes * 60_000;
  }

  /** Returns the next fault. Null when the time is over and all required faults have run. */
  next(): { readonly kind: FaultKind; readonly fault: Fault } | null {
    const isOver = performance.now() > this.#endMs;
    const kinds = this.#soak.options.faults.filter((kind) =>
      isOver ? this.#isRequired(kind) : kind !== "io-error" || this.#pending.length > 0,
    );
    const kind = kinds[this.#turn % Math.max(1, kinds.length)];
    if (kind === undefined) return null;
    this.#turn += 1;
    const turn = this.#turns.get(kind) ?? 0;
    this.#turns.set(kind, turn + 1);
    if (kind === "io-error") return { kind, fault: this.#nextCase(turn) };
    const variants = VARIANTS[kind];
    return { kind, fault: variants[turn % variants.length] as Fault };
  }

  /** Returns whether faults of this kind must still run after the time is over. */
  #isRequired(kind: FaultKind): boolean {
    const turns = this.#turns.get(kind) ?? 0;
    if (kind === "io-error") return this.#pending.length > 0;
    const { powerCuts } = this.#soak.options;
    return turns < (kind === "power-cut" && powerCuts > 0 ? powerCuts : VARIANTS[kind].length);
  }

  #nextCase(turn: number): Fault {
    const pending = this.#pending.shift();
    if (pending === undefined) throw new Error("No I/O error case is left");
    return async (soak) => {
      const node = await nodeFor(soak, pending.case, turn);
      const outcome = await failSite(soak, node, pending.case);
      await node.start();
      if (!outcome.fired && pending.attempt < ATTEMPTS_PER_CASE) {
        this.#pending.push({ case: pending.case, attempt: pending.attempt + 1 });
      }
      return outcome;
    };
  }
}
