import { connect } from "../../client/connect.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import type { ClusterId } from "../../shared/base/ids.ts";

/*
 * A client that creates one file after another, in a process of its own: the event loop of the bench may be busy
 * with a simulated fleet, which connects to the new leader at the same time. Sends each acknowledged create to
 * the parent, until it disconnects. Arguments: the cluster id, the directory, the masters.
 */

/** An acknowledged create. Times are those of `performance.timeOrigin + performance.now()`. */
export interface Acknowledged {
  readonly startedMs: number;
  readonly endedMs: number;
}

const [, , clusterId = "", directory = "", ...masters] = process.argv;

const now = (): number => performance.timeOrigin + performance.now();

process.on("disconnect", () => process.exit());
await using fileSystem = await connect({ masters, clusterId: clusterId as ClusterId });
await fileSystem.mkdir(directory, { parents: true });
for (let number = 0; process.connected; number += 1) {
  const startedMs = now();
  try {
    await fileSystem.create(`${directory}/${number}-${process.pid}`);
    process.send?.({ startedMs, endedMs: now() } satisfies Acknowledged);
  } catch (error) {
    // An election may take longer than the timeout of one call. The next call follows immediately.
    if (!isAshlarError(error)) throw error;
  }
}
