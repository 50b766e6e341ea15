import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { noFaults } from "./group-faults.ts";
import { simulateLog } from "./log-simulation.ts";
import { simulateNamespace } from "./namespace-simulation.ts";

/** Simulations of three members on simulated disks and a simulated network, from seeds. */

const SEEDS = Number(process.env["ASHLAR_SIM_SEEDS"] ?? 12);
const FIRST_SEED = Number(process.env["ASHLAR_SIM_FIRST_SEED"] ?? 1);

async function runSeeds(run: (seed: number) => Promise<void>): Promise<void> {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed += 1) {
    try {
      await run(seed);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const repeat = `Repeat with ASHLAR_SIM_SEEDS=1 ASHLAR_SIM_FIRST_SEED=${seed}`;
      throw new Error(`${repeat}: ${message}`, { cause: error });
    }
  }
}

describe("consensus under faults", () => {
  it(`keeps acknowledged entries and linearizable reads, seeds ${FIRST_SEED} to ${FIRST_SEED + SEEDS - 1}`, async () => {
    const counts = { ...noFaults(), acknowledged: 0, unknown: 0, reads: 0 };
    await runSeeds((seed) => simulateLog(seed, counts));
    // A run without operations or faults would prove nothing.
    const text = JSON.stringify(counts);
    assert.ok(counts.acknowledged >= 40 * SEEDS, text);
    assert.ok(counts.reads >= 10 * SEEDS, text);
    assert.ok(counts.kills >= 5 * SEEDS, text);
    if (SEEDS < 10) return;
    for (const [name, count] of Object.entries(counts)) assert.ok(count > 0, `no ${name}: ${text}`);
  });

  it(`shows clients a linearizable namespace, seeds ${FIRST_SEED} to ${FIRST_SEED + SEEDS - 1}`, async (context) => {
    const clients = { mutations: 0, refusals: 0, unanswered: 0, reads: 0, repeats: 0 };
    const counts = { ...noFaults(), ...clients };
    await runSeeds((seed) => simulateNamespace(seed, counts));
    const text = JSON.stringify(counts);
    context.diagnostic(text);
    assert.ok(counts.mutations >= 20 * SEEDS && counts.reads >= 20 * SEEDS, text);
    if (SEEDS < 10) return;
    for (const [name, count] of Object.entries(counts)) assert.ok(count > 0, `no ${name}: ${text}`);
  });
});
