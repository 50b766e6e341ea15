import { fork } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { FileSystem } from "../../../client/file-system.ts";
import { quantile } from "../../statistics.ts";
import type { BenchContext } from "../bench-context.ts";
import type { FleetReport } from "./fleet-report.ts";
import type { PreparedState } from "./prepare-state.ts";

const BUSY_PROGRAM = fileURLToPath(new URL("./busy-process.js", import.meta.url));
const STORING_PROGRAM = fileURLToPath(new URL("./storing-process.js", import.meta.url));
const DIRECTORY = "/learner";
/** Callers, each with one create in flight. */
const CALLERS = 16;
/** Duration of each phase without a learner: one before and one after the join. */
const PHASE_MS = 20_000;
const JOIN_TIMEOUT_MS = 20 * 60_000;
/** Bound of the 99th percentile of a create while a learner joins, as a multiple of the undisturbed one. */
const TIMES_MAX = 2;

/**
 * Adds a master to the loaded cluster: a learner that gets the whole state and then a vote. Compares the
 * 99th percentile of a create meanwhile with the undisturbed one, with that next to a process that keeps
 * one core busy, and with that next to a process that only stores the rows of a learner. On a machine of its own a
 * learner has neither effect.
 *
 * @param state the prepared state, whose rows the last of these processes stores
 */
export async function measureLearnerJoin(
  bench: BenchContext,
  report: FleetReport,
  state: PreparedState,
): Promise<void> {
  const { cluster, fileSystem } = bench;
  await fileSystem.mkdir(DIRECTORY);
  const creator = new Creator(fileSystem);
  const undisturbed = await creator.during(() => sleep(PHASE_MS));
  const busy = await creator.during(() => besideProcess(BUSY_PROGRAM, []));
  const target = join(bench.work, "stored");
  const stored = await creator.during(() =>
    besideProcess(STORING_PROGRAM, [
      dirname(dirname(state.path)),
      basename(dirname(state.path)),
      target,
    ]),
  );
  await rm(target, { recursive: true, force: true });
  const startMs = performance.now();
  const { result: joining } = await report.part("a learner joins", () =>
    creator.during(() => cluster.add("master", { basePort: 0, timeoutMs: JOIN_TIMEOUT_MS })),
  );
  report.figure("join of a learner", (performance.now() - startMs) / 1_000, "s");
  undisturbed.push(...(await creator.during(() => sleep(PHASE_MS))));
  const name = `create, ${CALLERS} in parallel, 99th percentile`;
  const alone = quantile(undisturbed, 0.99);
  const nextTo = quantile(stored, 0.99);
  report.figure(`${name}, undisturbed`, alone, "ms");
  const peer = { name: "undisturbed", value: alone };
  const unit = "ms";
  report.compared(`${name}, next to a busy process`, quantile(busy, 0.99), { unit, peer });
  report.compared(`${name}, next to a process that stores rows`, nextTo, { unit, peer });
  report.atMost(`${name}, while a learner joins`, quantile(joining, 0.99), {
    unit: "ms",
    bound: TIMES_MAX * alone,
    peer: { name: "next to a process that stores rows", value: nextTo },
  });
}

/** Lasts for one phase, during which the program runs. */
async function besideProcess(program: string, words: readonly string[]): Promise<void> {
  const child = fork(program, words);
  const ended = once(child, "exit");
  await sleep(PHASE_MS);
  child.disconnect();
  await ended;
}

/** Creates files without a pause. */
class Creator {
  readonly #fileSystem: FileSystem;
  #count = 0;

  constructor(fileSystem: FileSystem) {
    this.#fileSystem = fileSystem;
  }

  /** Creates files while `phase` runs. Resolves with the duration of each create in milliseconds. */
  async during(phase: () => Promise<unknown>): Promise<number[]> {
    const durations: number[] = [];
    let isRunning = true;
    const caller = async (): Promise<void> => {
      while (isRunning) {
        const startMs = performance.now();
        this.#count += 1;
        await this.#fileSystem.create(`${DIRECTORY}/${this.#count}`);
        durations.push(performance.now() - startMs);
      }
    };
    const callers = Promise.all(Array.from({ length: CALLERS }, caller));
    try {
      await phase();
    } finally {
      isRunning = false;
      await callers;
    }
    return durations;
  }
}
