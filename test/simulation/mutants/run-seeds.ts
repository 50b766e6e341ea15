/**
 * Program that runs one simulation with the seeds FIRST to LAST: `run-seeds.ts NAME FIRST LAST`.
 * Prints a `SeedsResult` as one line of JSON and exits. `run-check.ts` starts it in a copy of the
 * sources.
 */

import { runSeed } from "../cluster/run-seed.ts";
import { optionsOf } from "../cluster/simulation-options.ts";
import { Violation } from "../cluster/violation.ts";
import { noFaults } from "../consensus/group-faults.ts";
import { simulateLog } from "../consensus/log-simulation.ts";
import { simulateNamespace } from "../consensus/namespace-simulation.ts";
import { RaftSimulation } from "../raft/raft-simulation.ts";
import type { SimulationName } from "./mutant.ts";

/** The first failing seed with its error, or `passed` if all seeds pass. */
export type SeedsResult =
  | { readonly kind: "passed" }
  | {
      readonly kind: "failed";
      readonly seed: number;
      readonly errorName: string;
      readonly message: string;
    };

const RAFT_TICKS = 1_200;
const CLUSTER_SECONDS = 60;
const NO_CLIENTS = { mutations: 0, refusals: 0, unanswered: 0, reads: 0, repeats: 0 };

const SIMULATIONS: Record<SimulationName, (seed: number) => void | Promise<void>> = {
  raft: (seed) => new RaftSimulation(seed).run(RAFT_TICKS),
  log: (seed) => simulateLog(seed, { ...noFaults(), acknowledged: 0, unknown: 0, reads: 0 }),
  cluster: simulateCluster,
  namespace: (seed) => simulateNamespace(seed, { ...noFaults(), ...NO_CLIENTS }),
};

const [name, first, last] = process.argv.slice(2);
let seed = Number(first);
// A failed assertion of the product in a timer or a callback reaches no other handler.
process.on("uncaughtException", fail);
// The cluster simulation has its own handler, which ignores errors of a corrupt state.
if (name !== "cluster") process.on("unhandledRejection", fail);
try {
  for (; seed <= Number(last); seed += 1) await SIMULATIONS[name as SimulationName](seed);
  end({ kind: "passed" });
} catch (error) {
  fail(error);
}

async function simulateCluster(seed: number): Promise<void> {
  const outcome = await runSeed(optionsOf(seed, { seconds: CLUSTER_SECONDS }));
  // The first line of the report contains the seed and the time. The result has its own seed field.
  if (outcome.kind === "failed") throw new Violation(outcome.report.replace(/^.*\n/, ""));
}

function fail(error: unknown): void {
  const { name: errorName, message } = error instanceof Error ? error : new Error(String(error));
  end({ kind: "failed", seed, errorName, message });
}

/**
 * Prints the result and exits. A resource that the bug leaves open would keep the process alive.
 */
function end(result: SeedsResult): void {
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
}
