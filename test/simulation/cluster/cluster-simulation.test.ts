import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { runSeed } from "./run-seed.ts";
import { optionsOf } from "./simulation-options.ts";

/**
 * Whole clusters of production masters, chunkservers and clients: see simulation.ts for what must
 * hold. More seeds: `npm run simulate -- --minutes 10`.
 */

/**
 * Seed 4: a watch goes on at another master when the disk of the one that it is at fails. Seed 40046: a
 * put whose chain broke goes on at a new leader, which has not heard yet of the servers that it keeps.
 */
const SEEDS = [1, 2, 3, 4, 40046];
const SECONDS = 10;

describe("a simulated cluster under faults", () => {
  for (const seed of SEEDS) {
    it(`keeps its promises and becomes whole again, seed ${seed}`, async () => {
      const outcome = await runSeed(optionsOf(seed, { seconds: SECONDS }));
      if (outcome.kind === "failed") assert.fail(outcome.report);
    });
  }

  it("does the same for the same seed, event by event", async () => {
    const options = optionsOf(7, { seconds: 3, masters: 3, chunkservers: 3, clients: 2 });
    const once = await runSeed(options);
    const again = await runSeed(options);
    assert.deepEqual(again, once);
    const other = await runSeed({ ...options, seed: 8 });
    assert.notEqual(other.result.traceHash, once.result.traceHash);
  });
});
