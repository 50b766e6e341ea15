import type { Clock } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Random } from "../../shared/ports/random.ts";
import type { ChunkStore } from "../store/chunk-store.ts";
import type { MasterLink } from "./master-link.ts";
import type { Orders } from "./orders.ts";
import { pause, type RepeatWorld, repeat } from "./repeat.ts";
import type { Scrub } from "./scrub.ts";

const CONFIRM_INTERVAL_MS = 5_000;
const SWEEP_INTERVAL_MS = 5_000;
/** Between two steps of the rewriting of packed files, which must not starve reads and writes. */
const SWEEP_STEP_PAUSE_MS = 50;

export interface UpkeepOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly store: ChunkStore;
  readonly link: MasterLink;
  readonly orders: Orders;
  /** null: no scrub. */
  readonly scrub: Scrub | null;
  readonly signal: AbortSignal;
}

/**
 * Runs what a chunkserver does unasked: heartbeats, confirmation, scrub, sweeping. Resolves after
 * the signal aborted and everything under way has ended; rejects if a loop met a bug.
 */
export async function runUpkeep(options: UpkeepOptions): Promise<void> {
  const { store, link, orders, signal } = options;
  const world: RepeatWorld = options;
  const loops = [
    repeat(world, { what: "Heartbeat", intervalMs: () => link.heartbeatIntervalMs, signal }, () =>
      link.beat(orders, signal),
    ),
    repeat(world, { what: "Confirmation", intervalMs: () => CONFIRM_INTERVAL_MS, signal }, () =>
      confirmAll(link, signal),
    ),
    repeat(world, { what: "Sweep", intervalMs: () => SWEEP_INTERVAL_MS, signal }, () =>
      sweepAll(store, options),
    ),
  ];
  const { scrub } = options;
  if (scrub !== null) {
    loops.push(
      inspectOnce(world, scrub, signal),
      repeat(world, { what: "Scrub", intervalMs: () => scrub.restMs(), signal }, () =>
        scrub.pass(),
      ),
    );
  }
  await Promise.all(loops);
  await orders.idle();
}

async function confirmAll(link: MasterLink, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    if ((await link.confirm(signal)) === 0) return;
  }
}

async function sweepAll(store: ChunkStore, options: UpkeepOptions): Promise<void> {
  while (!options.signal.aborted) {
    if ((await store.sweep()) === "done") return;
    await pause(options.clock, SWEEP_STEP_PAUSE_MS, options.signal);
  }
}

/** The scrub comes to a missing file in days; a look at all of them takes seconds. */
async function inspectOnce(world: RepeatWorld, scrub: Scrub, signal: AbortSignal): Promise<void> {
  const once = new AbortController();
  const both = AbortSignal.any([signal, once.signal]);
  await repeat(world, { what: "Inspection", intervalMs: () => 0, signal: both }, async () => {
    await scrub.inspect();
    once.abort();
  });
}
