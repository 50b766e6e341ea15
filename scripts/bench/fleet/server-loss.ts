import { setTimeout as sleep } from "node:timers/promises";
import type { BenchContext } from "../bench-context.ts";
import type { FleetReport } from "./fleet-report.ts";
import type { SimulatedFleet } from "./simulated-fleet.ts";
import type { SimulatedServer } from "./simulated-server.ts";

/** Bound of the time in which the loss of a server is known, chunk by chunk, and its repair begins. */
const SECONDS_MAX = 5;
const TIMEOUT_MS = 900_000;
const POLL_MS = 100;

/**
 * Measures the repair of a server that falls silent. Times count from the moment at which it is dead:
 * `deadMs` after its last heartbeat. Copies are reported as made in the next heartbeat.
 */
export async function measureServerLoss(
  { fileSystem }: BenchContext,
  report: FleetReport,
  loss: {
    readonly fleet: SimulatedFleet;
    readonly lost: SimulatedServer;
    readonly deadMs: number;
    /** Names the server in the report. */
    readonly what: string;
    /** Whether the measurement continues until all copies are made. */
    readonly isWhole: boolean;
    /**
     * Copies that were made before any loss, because the masters of a busy machine thought servers dead.
     * So many chunks of the server may lack no copy.
     */
    readonly surplus: number;
  },
): Promise<void> {
  const { fleet, lost, deadMs, what, isWhole, surplus } = loss;
  const { chunkCount } = lost;
  const { namespace: before } = await fileSystem.status();
  fleet.orderedMs.clear();
  const copiedBefore = fleet.copiedCount;
  await report.part(`loss of ${what}`, async () => {
    await lost.stop();
    const deadAtMs = lost.lastHeartbeatMs + deadMs;
    const seconds = (atMs: number): number => (atMs - deadAtMs) / 1_000;
    let kncpuMs = Number.POSITIVE_INFINITY;
    await until(async () => {
      const { namespace } = await fileSystem.status();
      const repaired = fleet.copiedCount - copiedBefore;
      const missing = namespace.chunksUnderReplicated - before.chunksUnderReplicated + repaired;
      const isKnown = missing >= chunkCount - surplus;
      if (isKnown) kncpuMs = Math.min(kncpuMs, performance.now());
      const isMade = namespace.chunksUnderReplicated <= before.chunksUnderReplicated;
      return isKnown && (!isWhole || isMade);
    });
    const orders = [...fleet.orderedMs.values()];
    const first = orders.reduce((least, each) => Math.min(least, each), Number.POSITIVE_INFINITY);
    const last = orders.reduce((most, each) => Math.max(most, each), 0);
    const bound = { unit: "s", bound: SECONDS_MAX };
    report.figure(`chunks of ${what}`, chunkCount, "chunks");
    report.atMost(`loss of ${what}, first copy ordered`, seconds(first), bound);
    if (!isWhole) {
      report.figure(`loss of ${what}, all its chunks known`, seconds(kncpuMs), "s");
      return;
    }
    report.atMost(`loss of ${what}, all its chunks known`, seconds(kncpuMs), bound);
    report.figure(`loss of ${what}, all copies ordered`, seconds(last), "s");
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
