import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FlowSimulation } from "./flow-simulation.ts";

describe("the simulated data path under load", () => {
  it("moves every transfer of 64 writers and 64 readers, seed 2", async () => {
    const result = await new FlowSimulation(2).run();
    for (const [name, count] of Object.entries(result)) {
      assert.ok(count > 0, `${name}: ${count}`);
    }
  });

  it("produces the same events for the same seed", async () => {
    const [first, second] = [
      await new FlowSimulation(1, 1_000).run(),
      await new FlowSimulation(1, 1_000).run(),
    ];
    assert.deepEqual(second, first);
  });
});
