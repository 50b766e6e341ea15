import type { Clock } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Random } from "../../shared/ports/random.ts";
import type { ChunkStore } from "../store/chunk-store.ts";
import type { CopyComparison } from "./copy-comparison.ts";
import type { MasterLink } from "./master-link.ts";
import type { Orders } from "./orders.ts";
import { pause, type RepeatDeps, repeat } from "./repeat.ts";
import type { Scrub } from "./scrub.ts";

const CONFIRM_INTERVAL_MS = 5_000;
/**
 * Pause between two steps of the confirmation. Each has up to 1,000 chunks, some turns of the
 * leader, and after a restore or an update all chunkservers confirm all their chunks.
 */
const CONFIRM_STEP_PAUSE_MS = 200;
const SWEEP_INTERVAL_MS = 5_000;
/** Pause between two steps of rewriting packed files, so that reads and writes can run. */
const SWEEP_STEP_PAUSE_MS = 50;

/** The background tasks and their dependencies. */
export interface UpkeepDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly store: ChunkStore;
  readonly link: MasterLink;
  readonly comparison: CopyComparison;
  readonly orders: Orders;
  /** Null if the scrub is disabled. */
  readonly scrub: Scrub | null;
  readonly signal: AbortSignal;
}

/**
 * Runs the background tasks of a chunkserver: heartbeats, confirmations, comparison, scrub, sweeps. Resolves
 * when the signal has aborted and all tasks have ended. Rejects if a task fails with a bug.
 */
export async function runUpkeep(options: UpkeepDeps): Promise<void> {
  const { store, link, comparison, orders, signal } = options;
  const deps: RepeatDeps = options;
  const loops = [
    repeat(deps, { name: "Heartbeat", intervalMs: () => link.heartbeatIntervalMs, signal }, () =>
      link.heartbeat(orders, signal),
    ),
    repeat(deps, { name: "Confirmation", intervalMs: () => CONFIRM_INTERVAL_MS, signal }, () =>
      confirmAll(link, options),
    ),
    repeat(
      deps,
      { name: "Comparison of copies", intervalMs: () => comparison.delayMs, signal },
      () => comparison.step(signal),
    ),
    repeat(deps, { name: "Sweep", intervalMs: () => SWEEP_INTERVAL_MS, signal }, () =>
      sweepAll(store, options),
    ),
  ];
  const { scrub } = options;
  if (scrub !== null) {
    loops.push(
      checkFilesOnce(deps, scrub, signal),
      repeat(deps, { name: "Scrub", intervalMs: () => scrub.delayMs(), signal }, () =>
        scrub.pass(),
      ),
    );
  }
  await Promise.all(loops);
  await orders.idle();
}

async function confirmAll(link: MasterLink, { clock, signal }: UpkeepDeps): Promise<void> {
  while (!signal.aborted) {
    if ((await link.confirm(signal)) === 0) return;
    await pause(clock, CONFIRM_STEP_PAUSE_MS, signal);
  }
}

async function sweepAll(store: ChunkStore, options: UpkeepDeps): Promise<void> {
  while (!options.signal.aborted) {
    if ((await store.sweep()) === "done") return;
    await pause(options.clock, SWEEP_STEP_PAUSE_MS, options.signal);
  }
}

/**
 * Checks that the extent files exist at the start. Takes seconds, while a scrub pass takes days.
 */
async function checkFilesOnce(deps: RepeatDeps, scrub: Scrub, signal: AbortSignal): Promise<void> {
  const once = new AbortController();
  const both = AbortSignal.any([signal, once.signal]);
  await repeat(deps, { name: "File check", intervalMs: () => 0, signal: both }, async () => {
    await scrub.checkExtentFiles();
    once.abort();
  });
}
