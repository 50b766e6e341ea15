/**
 * Simulates the data path under load: `npm run simulate:flow -- --seed N --seeds N`.
 *
 * Each seed is a cluster with 64 writers and 64 readers in this process, over a virtual clock, network and
 * disks (test/simulation/flow).
 */
import { Command, InvalidArgumentError } from "commander";
import { FlowSimulation } from "../test/simulation/flow/flow-simulation.ts";

process.exitCode = await main(process.argv.slice(2));

async function main(words: readonly string[]): Promise<number> {
  const program = new Command("simulate:flow")
    .description("Simulates the data path under load, from seeds.")
    .option("--seed <n>", "the first seed", whole, 1)
    .option("--seeds <n>", "number of seeds", whole, 1)
    .parse(words as string[], { from: "user" });
  const { seed: first, seeds } = program.opts<{ readonly seed: number; readonly seeds: number }>();
  let failedCount = 0;
  for (let seed = first; seed < first + seeds; seed += 1) {
    try {
      console.log(`seed ${seed} passed: ${JSON.stringify(await new FlowSimulation(seed).run())}`);
    } catch (error) {
      failedCount += 1;
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      console.error(`seed ${seed} failed: ${(error as Error).message}`, cause);
    }
  }
  console.log(`${seeds} seeds, ${failedCount} failed`);
  return failedCount === 0 ? 0 : 1;
}

function whole(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new InvalidArgumentError("expected a positive whole number");
}
