import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { runSeed, type SeedOutcome } from "./run-seed.ts";
import type { SimulationOptions } from "./simulation.ts";
import { commandOf } from "./simulation-options.ts";

/** What makes the program of `runAsWorker` out of the one that calls it. */
export const WORKER_FLAG = "--simulation-worker";

/** Of real time for one seed: most take seconds. After it something turns in circles. */
const MINUTES_MAX = 15;

/** What a worker says: nothing but that it is ready, or what the seed came to that it was given. */
interface Said {
  readonly outcome: SeedOutcome | null;
  /** Seconds of processor time since it was last heard. */
  readonly cpuSeconds: number;
}

export interface PoolOptions {
  /** The program: its `main` must call `runAsWorker` when it is started with `WORKER_FLAG`. */
  readonly program: string;
  readonly jobs: number;
  /** What is to be run next; null: nothing more. */
  readonly next: () => SimulationOptions | null;
  readonly onOutcome: (
    options: SimulationOptions,
    outcome: SeedOutcome,
    cpuSeconds: number,
  ) => void;
}

/** Runs simulations in processes of their own, one at a time in each. Resolves when all are over. */
export async function runPool(options: PoolOptions): Promise<void> {
  await Promise.all(Array.from({ length: options.jobs }, () => runWorker(options)));
}

async function runWorker({ program, next, onOutcome }: PoolOptions): Promise<void> {
  let given = next();
  if (given === null) return;
  const worker = fork(fileURLToPath(program), [WORKER_FLAG]);
  const ended = once(worker, "exit");
  const deadline = setTimeout(() => worker.kill("SIGKILL"), MINUTES_MAX * 60_000);
  worker.on("message", ({ outcome, cpuSeconds }: Said) => {
    if (given !== null && outcome !== null) onOutcome(given, outcome, cpuSeconds);
    deadline.refresh();
    if (outcome !== null) given = next();
    if (given === null) worker.disconnect();
    else worker.send(given);
  });
  const [status, signal] = await ended;
  clearTimeout(deadline);
  if (given === null && status === 0) return;
  const last = given === null ? "no seed" : commandOf(given);
  throw new Error(
    `A worker ended with ${signal ?? `status ${status}`} (SIGKILL: after ${MINUTES_MAX} minutes) at: ${last}`,
  );
}

/** The other end: runs what it is sent until its parent has no more, or is gone. */
export function runAsWorker(): void {
  let cpu = process.cpuUsage();
  const say = (outcome: SeedOutcome | null): void => {
    const { user, system } = process.cpuUsage(cpu);
    cpu = process.cpuUsage();
    const said: Said = { outcome, cpuSeconds: (user + system) / 1e6 };
    process.send?.(said);
  };
  process.on("message", (options: SimulationOptions) => {
    runSeed(options).then(say, (error: unknown) => {
      console.error(error);
      process.exit(1);
    });
  });
  say(null);
}
