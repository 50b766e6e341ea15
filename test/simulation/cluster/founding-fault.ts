import type { SimulatedMaster } from "./simulated-servers.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";

const LATE_MS = { min: 200, max: 4_000 };

/**
 * Starts the founders. In half of the seeds one of them starts late, and another one loses its disk
 * before that. The cluster cannot be founded before the late one is there, so nothing is lost.
 *
 * @returns the number of injected faults
 */
export function startFounders(
  environment: SimulationEnvironment,
  founders: readonly SimulatedMaster[],
): number {
  const random = environment.randomFor("founding");
  const late = random.pick(founders);
  const unlucky = random.pick(founders.filter((master) => master !== late));
  const delayMs = random.logUniform(LATE_MS.min, LATE_MS.max);
  const hasFault = random.chance(0.5);
  for (const master of founders) if (!hasFault || master !== late) master.start();
  if (!hasFault) return 0;
  environment.clock.after(delayMs, () => {
    environment.trace.note(unlucky.host, "its disk is lost before the cluster is founded");
    unlucky.isKeptDown = true;
    unlucky.cutPower();
    unlucky.replaceDisk();
    unlucky.isKeptDown = false;
    unlucky.start();
    late.start();
  });
  return 1;
}
