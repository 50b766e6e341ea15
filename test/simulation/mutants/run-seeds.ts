/**
 * Program that runs one simulation with the seeds FIRST to LAST: `run-seeds.ts NAME FIRST LAST`.
 * Prints a `SeedsResult` as one line of JSON and exits. `run-check.ts` starts it in a copy of the
 * sources. Imports only the modules of its simulation: most of its CPU time would be that of tsx.
 */

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

type Simulation = (seed: number) => void | Promise<void>;

const RAFT_TICKS = 1_200;
const CLUSTER_SECONDS = 60;
const COPIES_SHAPE = {
  masters: 3,
  chunkservers: 3,
  clients: 2,
  workload: "files",
  pace: 1,
} as const;
const NO_CLIENTS = { mutations: 0, refusals: 0, unanswered: 0, reads: 0, repeats: 0 };

/** Loads the simulations. */
const SIMULATIONS: Record<SimulationName, () => Promise<Simulation>> = {
  raft: async () => {
    const { RaftSimulation } = await import("../raft/raft-simulation.ts");
    return (seed) => new RaftSimulation(seed).run(RAFT_TICKS);
  },
  log: async () => {
    const { noFaults } = await import("../consensus/group-faults.ts");
    const { simulateLog } = await import("../consensus/log-simulation.ts");
    return (seed) => simulateLog(seed, { ...noFaults(), acknowledged: 0, unknown: 0, reads: 0 });
  },
  cluster: () => loadCluster({}),
  copies: () => loadCluster(COPIES_SHAPE),
  flow: async () => {
    const { FlowSimulation } = await import("../flow/flow-simulation.ts");
    return async (seed) => void (await new FlowSimulation(seed).run());
  },
  namespace: async () => {
    const { noFaults } = await import("../consensus/group-faults.ts");
    const { simulateNamespace } = await import("../consensus/namespace-simulation.ts");
    return (seed) => simulateNamespace(seed, { ...noFaults(), ...NO_CLIENTS });
  },
};

const [name, first, last] = process.argv.slice(2);
let seed = Number(first);
// A failed assertion of the product in a timer or a callback reaches no other handler.
process.on("uncaughtException", fail);
// The simulations of clusters have their own handler, which ignores errors of a corrupt state.
if (name !== "cluster" && name !== "copies" && name !== "flow")
  process.on("unhandledRejection", fail);
try {
  const simulate = await SIMULATIONS[name as SimulationName]();
  for (; seed <= Number(last); seed += 1) await simulate(seed);
  end({ kind: "passed" });
} catch (error) {
  fail(error);
}

async function loadCluster(shape: Partial<typeof COPIES_SHAPE>): Promise<Simulation> {
  const { runSeed } = await import("../cluster/run-seed.ts");
  const { optionsOf } = await import("../cluster/simulation-options.ts");
  const { Violation } = await import("../cluster/violation.ts");
  return async (seed) => {
    const outcome = await runSeed(optionsOf(seed, { seconds: CLUSTER_SECONDS, ...shape }));
    // The first line of the report contains the seed and the time. The result has its own seed field.
    if (outcome.kind === "failed") throw new Violation(outcome.report.replace(/^.*\n/, ""));
  };
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
