import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { runSeed, type SeedOutcome } from "./run-seed.ts";
import type { SimulationOptions } from "./simulation-options.ts";
import { commandOf } from "./simulation-options.ts";

/** Parameter that makes a program call `runAsWorker`. */
export const WORKER_FLAG = "--simulation-worker";

/** Timeout of one seed in real time. Most seeds take seconds; a seed at the timeout hangs. */
const SEED_MINUTES_MAX = 15;

/**
 * Number of seeds that one worker process runs. A simulation leaves its disks behind: waits that never
 * end hold them through listeners of composite signals, which Node.js keeps until they are aborted.
 * These are about 100 MB for each seed.
 */
const SEEDS_PER_WORKER = 20;

/** Message of a worker to its parent. */
interface WorkerMessage {
  /** Outcome of the seed that the worker received. Null: the worker has started. */
  readonly outcome: SeedOutcome | null;
  /** Processor time since the previous message. */
  readonly cpuSeconds: number;
}

/** Program and source of the simulations of a pool. */
export interface PoolOptions {
  /** URL of the program to fork. Started with `WORKER_FLAG`, it must call `runAsWorker`. */
  readonly program: string;
  /** Number of worker processes. */
  readonly jobs: number;
  /** Returns the next simulation to run. Null: all were started. */
  readonly next: () => SimulationOptions | null;
  readonly onOutcome: (
    options: SimulationOptions,
    outcome: SeedOutcome,
    cpuSeconds: number,
  ) => void;
}

/** Runs simulations in worker processes, one at a time in each. Resolves when all have ended. */
export async function runPool(options: PoolOptions): Promise<void> {
  await Promise.all(Array.from({ length: options.jobs }, () => runWorkers(options)));
}

/** Runs workers one after the other until there is no next simulation. */
async function runWorkers(options: PoolOptions): Promise<void> {
  for (let first = options.next(); first !== null; first = options.next()) {
    await runWorker(first, options);
  }
}

/** Runs up to `SEEDS_PER_WORKER` simulations in one worker. `first` is the first of them. */
async function runWorker(
  first: SimulationOptions,
  { program, next, onOutcome }: PoolOptions,
): Promise<void> {
  let current: SimulationOptions | null = first;
  let startedCount = 1;
  const worker = fork(fileURLToPath(program), [WORKER_FLAG]);
  const ended = once(worker, "exit");
  const deadline = setTimeout(() => worker.kill("SIGKILL"), SEED_MINUTES_MAX * 60_000);
  worker.on("message", ({ outcome, cpuSeconds }: WorkerMessage) => {
    if (current !== null && outcome !== null) onOutcome(current, outcome, cpuSeconds);
    deadline.refresh();
    if (outcome !== null) {
      current = startedCount < SEEDS_PER_WORKER ? next() : null;
      startedCount += 1;
    }
    if (current === null) worker.disconnect();
    else worker.send(current);
  });
  const [status, signal] = await ended;
  clearTimeout(deadline);
  if (current === null && status === 0) return;
  const command = current === null ? "no seed" : commandOf(current);
  throw new Error(
    `Worker exited with ${signal ?? `status ${status}`} (SIGKILL: timeout of ${SEED_MINUTES_MAX} minutes) during: ${command}`,
  );
}

/** Runs the simulations that the parent process sends. Ends when the parent disconnects. */
export function runAsWorker(): void {
  let cpu = process.cpuUsage();
  const send = (outcome: SeedOutcome | null): void => {
    const { user, system } = process.cpuUsage(cpu);
    cpu = process.cpuUsage();
    const message: WorkerMessage = { outcome, cpuSeconds: (user + system) / 1e6 };
    process.send?.(message);
  };
  process.on("message", (options: SimulationOptions) => {
    runSeed(options).then(send, (error: unknown) => {
      console.error(error);
      process.exit(1);
    });
  });
  send(null);
}
