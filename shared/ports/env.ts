import type { Clock } from "./clock.ts";
import type { Hasher } from "./hasher.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { Network } from "./network.ts";
import type { Random } from "./random.ts";

/** The world as every role sees it. Disks and stores come beside it, to those who own one. */
export interface Env {
  readonly clock: Clock;
  readonly random: Random;
  readonly network: Network;
  readonly hasher: Hasher;
  readonly log: Log;
  readonly metrics: Metrics;
}
