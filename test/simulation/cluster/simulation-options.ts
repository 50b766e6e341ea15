import type { SimulationOptions } from "./simulation.ts";
import { SimulationRandom } from "./simulation-random.ts";

/** Default of `SimulationOptions.seconds`. */
const SECONDS = 360;

/** Returns the options that the seed determines. The fields of `given` replace them. */
export function optionsOf(
  seed: number,
  given: Partial<Omit<SimulationOptions, "seed">> = {},
): SimulationOptions {
  const random = SimulationRandom.forPurpose(seed, "shape");
  const shape = {
    masters: random.chance(0.75) ? 3 : 5,
    chunkservers: 3 + random.integer(4),
    clients: 2 + random.integer(3),
    workload: random.pickWeighted({ mixed: 6, names: 2, files: 2 }),
    pace: Number(random.pickWeighted({ 1: 2, 3: 4, 6: 4 })),
  };
  return { seed, seconds: SECONDS, ...shape, ...given };
}

/** Returns the command line that repeats a run with these options. */
export function commandOf(options: SimulationOptions): string {
  const { seed, seconds, masters, chunkservers, clients, workload, pace } = options;
  const nodes = `${masters}x${chunkservers}x${clients}`;
  const values = `--seed ${seed} --seconds ${seconds} --nodes ${nodes} --workload ${workload} --pace ${pace}`;
  return `npm run simulate -- ${values}`;
}
