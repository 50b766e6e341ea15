import { SimulationRandom } from "./simulation-random.ts";

/** Mix of operations: `names` changes mostly names, `files` mostly contents. */
export type WorkloadName = "mixed" | "names" | "files";

/** Options of a simulation. Together with the version of the code they determine every event. */
export interface SimulationOptions {
  readonly seed: number;
  /** Duration of the fault phase in virtual seconds. */
  readonly seconds: number;
  readonly masters: number;
  readonly chunkservers: number;
  readonly clients: number;
  readonly workload: WorkloadName;
  /** Factor by which the failure detection times of masters and chunkservers are longer. */
  readonly pace: number;
}

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
