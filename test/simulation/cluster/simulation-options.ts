import { Dice } from "./dice.ts";
import type { SimulationOptions } from "./simulation.ts";

const SECONDS = 60;

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
  };
  return { seed, seconds: SECONDS, ...shape, ...given };
}

/** The command that does it all again. */
export function commandOf(options: SimulationOptions): string {
  const { seed, seconds, masters, chunkservers, clients, workload } = options;
  const nodes = `${masters}x${chunkservers}x${clients}`;
  const values = `--seed ${seed} --seconds ${seconds} --nodes ${nodes} --workload ${workload}`;
  return `npm run simulate -- ${values}`;
}
