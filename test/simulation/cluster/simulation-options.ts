import type { SimulationOptions } from "./simulation.ts";
import { Dice } from "./simulation-random.ts";

const SECONDS = 360;

/** A cluster and a workload as the seed says, but for what is given. */
export function optionsOf(
  seed: number,
  given: Partial<Omit<SimulationOptions, "seed">> = {},
): SimulationOptions {
  const dice = Dice.of(seed, "shape");
  const shape = {
    masters: dice.isBelow(0.75) ? 3 : 5,
    chunkservers: 3 + dice.integer(4),
    clients: 2 + dice.integer(3),
    workload: dice.weighted({ mixed: 6, names: 2, files: 2 }),
    pace: Number(dice.weighted({ 1: 2, 3: 4, 6: 4 })),
  };
  return { seed, seconds: SECONDS, ...shape, ...given };
}

/** The command that does it all again. */
export function commandOf(options: SimulationOptions): string {
  const { seed, seconds, masters, chunkservers, clients, workload, pace } = options;
  const nodes = `${masters}x${chunkservers}x${clients}`;
  const values = `--seed ${seed} --seconds ${seconds} --nodes ${nodes} --workload ${workload} --pace ${pace}`;
  return `npm run simulate -- ${values}`;
}
