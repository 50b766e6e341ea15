import type { Clock } from "./clock.ts";
import type { Hasher } from "./hasher.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { Network } from "./network.ts";
import type { Random } from "./random.ts";

/** The ports that every role uses. A role that owns a disk or a store gets it in addition. */
export interface Env {
  readonly clock: Clock;
  readonly random: Random;
  readonly network: Network;
  readonly hasher: Hasher;
  readonly log: Log;
  readonly metrics: Metrics;
}
