import { setTimeout as sleep } from "node:timers/promises";
import { present } from "../../../shared/base/assert.ts";
import type { BenchContext } from "../bench-context.ts";
import type { FleetReport } from "./fleet-report.ts";
import type { SimulatedFleet } from "./simulated-fleet.ts";
import type { SimulatedServer } from "./simulated-server.ts";

/** Bound of the time in which the loss of a server is known, chunk by chunk, and its repair begins. */
const SECONDS_MAX = 5;
const TIMEOUT_MS = 900_000;
const POLL_MS = 100;
/** All chunks are found when this share of them was found for this time. The counts are not of one moment. */
const KNOWN_SHARE = 0.99;
const QUIET_MS = 3_000;

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
  },
): Promise<void> {
  const { fleet, lost, deadMs, what, isWhole } = loss;
  const { namespace: before } = await fileSystem.status();
  fleet.orderedMs.clear();
  const copiedBefore = fleet.copiedCount;
  await report.part(`loss of ${what}`, async () => {
    await lost.stop();
    const deadAtMs = lost.lastHeartbeatMs + deadMs;
    const seconds = (atMs: number): number => (atMs - deadAtMs) / 1_000;
    const found: Found[] = [];
    await until(async () => {
      const { namespace } = await fileSystem.status();
      const repaired = fleet.copiedCount - copiedBefore;
      const chunks = namespace.chunksUnderReplicated - before.chunksUnderReplicated + repaired;
      found.push({ chunks, atMs: performance.now() });
      const isMade = namespace.chunksUnderReplicated <= before.chunksUnderReplicated;
      return isAllFound(found) && (!isWhole || isMade);
    });
    const all = mostOf(found);
    const known = present(
      found.find(({ chunks }) => chunks >= KNOWN_SHARE * all),
      "the number was found",
    );
    const orders = [...fleet.orderedMs.values()];
    const first = orders.reduce((least, each) => Math.min(least, each), Number.POSITIVE_INFINITY);
    const last = orders.reduce((most, each) => Math.max(most, each), 0);
    const bound = { unit: "s", bound: SECONDS_MAX };
    report.figure(`chunks of ${what}`, lost.chunkCount, "chunks");
    report.figure(`chunks of ${what} that lack a copy`, all, "chunks");
    report.atMost(`loss of ${what}, first copy ordered`, seconds(first), bound);
    if (!isWhole) {
      report.figure(`loss of ${what}, all its chunks known`, seconds(known.atMs), "s");
      return;
    }
    report.atMost(`loss of ${what}, all its chunks known`, seconds(known.atMs), bound);
    report.figure(`loss of ${what}, all copies ordered`, seconds(last), "s");
  });
}

/** Chunks that were found to lack a copy, with those that have it again. */
interface Found {
  readonly chunks: number;
  readonly atMs: number;
}

const mostOf = (found: readonly Found[]): number =>
  found.reduce((most, { chunks }) => Math.max(most, chunks), 0);

/**
 * Whether the number of found chunks has stayed the same for a while. It is not known in advance: masters that
 * had no processor time may have thought other servers dead and ordered copies, so that some chunks have too many.
 */
function isAllFound(found: readonly Found[]): boolean {
  const endMs = (found.at(-1)?.atMs ?? 0) - QUIET_MS;
  const earlier = found.filter(({ atMs }) => atMs <= endMs);
  const all = mostOf(found);
  return all > 0 && mostOf(earlier) >= KNOWN_SHARE * all;
}

/** Polls until the condition holds. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + TIMEOUT_MS;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error("The repair did not end in time");
    await sleep(POLL_MS);
  }
}
