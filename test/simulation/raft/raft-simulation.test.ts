import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { SimulationCounts } from "./raft-simulation.ts";
import { RaftSimulation } from "./raft-simulation.ts";

const TICK_COUNT = 1_200;
const SEED_COUNT = Number(process.env["RAFT_SEEDS"] ?? 40);
/** Runs a single seed: RAFT_SEED=17 npm test -- test/simulation/raft */
const ONLY_SEED = process.env["RAFT_SEED"];

describe("a Raft group under faults (Raft, Figure 3)", () => {
  it("keeps its safety properties, answers no stale read and recovers, for every seed", () => {
    const totals: Record<string, number> = {};
    for (const seed of seeds()) {
      for (const [name, count] of Object.entries(runSeed(seed))) {
        totals[name] = (totals[name] ?? 0) + count;
      }
    }
    if (process.env["RAFT_VERBOSE"]) console.log(totals);
    // A run without events proves nothing.
    for (const [name, count] of Object.entries(totals)) assert.ok(count > 0, `no ${name}`);
  });

  it("runs the same way for the same seed", () => {
    assert.deepEqual(runSeed(7), runSeed(7));
  });
});

function seeds(): readonly number[] {
  if (ONLY_SEED !== undefined) return [Number(ONLY_SEED)];
  return Array.from({ length: SEED_COUNT }, (_, offset) => offset + 1);
}

function runSeed(seed: number): SimulationCounts {
  const simulation = new RaftSimulation(seed);
  try {
    simulation.run(TICK_COUNT);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new Error(`${message}: repeat with RAFT_SEED=${seed}`, { cause: error });
  }
  return simulation.counts;
}
