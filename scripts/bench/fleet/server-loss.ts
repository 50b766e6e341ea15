import { setTimeout as sleep } from "node:timers/promises";
import type { BenchContext } from "../bench-context.ts";
import type { FleetReport } from "./fleet-report.ts";
import type { SimulatedFleet } from "./simulated-fleet.ts";

/** Bound of the time in which the loss of a server is known, chunk by chunk, and its repair begins. */
const SECONDS_MAX = 5;
const TIMEOUT_MS = 300_000;
const POLL_MS = 100;

/**
 * Measures the repair of a server that falls silent. Times count from the moment at which it is dead:
 * `deadMs` after its last heartbeat. Copies are reported as made in the next heartbeat.
 */
export async function measureServerLoss(
  { fileSystem }: BenchContext,
  report: FleetReport,
  { fleet, deadMs }: { readonly fleet: SimulatedFleet; readonly deadMs: number },
): Promise<void> {
  const lost = fleet.servers.at(-1);
  if (lost === undefined) throw new Error("The fleet has no servers");
  const { chunkCount } = lost;
  fleet.orderedMs.clear();
  const copiedBefore = fleet.copiedCount;
  await report.part("loss of a server", async () => {
    await lost.stop();
    const deadAtMs = lost.lastHeartbeatMs + deadMs;
    const seconds = (atMs: number): number => (atMs - deadAtMs) / 1_000;
    let knownMs = Number.POSITIVE_INFINITY;
    await until(async () => {
      const { namespace } = await fileSystem.status();
      const repaired = fleet.copiedCount - copiedBefore;
      const isKnown = namespace.chunksUnderReplicated + repaired >= chunkCount;
      if (isKnown) knownMs = Math.min(knownMs, performance.now());
      return isKnown && fleet.orderedMs.size >= chunkCount;
    });
    const orders = [...fleet.orderedMs.values()];
    const first = orders.reduce((least, each) => Math.min(least, each), Number.POSITIVE_INFINITY);
    const last = orders.reduce((most, each) => Math.max(most, each), 0);
    const bound = { unit: "s", bound: SECONDS_MAX };
    report.figure("chunks of the lost server", chunkCount, "chunks");
    report.atMost("loss of a server, first copy ordered", seconds(first), bound);
    report.atMost("loss of a server, all its chunks known", seconds(knownMs), bound);
    report.figure("loss of a server, all copies ordered", seconds(last), "s");
  });
}

/** Polls until the condition holds. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + TIMEOUT_MS;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error("The repair did not end in time");
    await sleep(POLL_MS);
  }
}
