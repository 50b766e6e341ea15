import { fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { FileSystem } from "../../../client/file-system.ts";
import { quantile } from "../../statistics.ts";
import type { BenchContext } from "../bench-context.ts";
import type { FleetReport } from "./fleet-report.ts";

const BUSY_PROGRAM = fileURLToPath(new URL("./busy-process.js", import.meta.url));
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
 * 99th percentile of a create meanwhile with the undisturbed one, and with that next to a process that
 * keeps one core busy, as a learner does that shares the machine.
 */
export async function measureLearnerJoin(bench: BenchContext, report: FleetReport): Promise<void> {
  const { cluster, fileSystem } = bench;
  await fileSystem.mkdir(DIRECTORY);
  const creator = new Creator(fileSystem);
  const undisturbed = await creator.during(() => sleep(PHASE_MS));
  const busy = await creator.during(busyPhase);
  const startMs = performance.now();
  const { result: joining } = await report.part("a learner joins", () =>
    creator.during(() => cluster.add("master", { basePort: 0, timeoutMs: JOIN_TIMEOUT_MS })),
  );
  report.figure("join of a learner", (performance.now() - startMs) / 1_000, "s");
  undisturbed.push(...(await creator.during(() => sleep(PHASE_MS))));
  const name = `create, ${CALLERS} in parallel, 99th percentile`;
  const [alone, nextTo] = [quantile(undisturbed, 0.99), quantile(busy, 0.99)];
  report.figure(`${name}, undisturbed`, alone, "ms");
  report.compared(`${name}, next to a busy process`, nextTo, {
    unit: "ms",
    peer: { name: "undisturbed", value: alone },
  });
  report.atMost(`${name}, while a learner joins`, quantile(joining, 0.99), {
    unit: "ms",
    bound: TIMES_MAX * alone,
    peer: { name: "next to a busy process", value: nextTo },
  });
}

async function busyPhase(): Promise<void> {
  const child = fork(BUSY_PROGRAM);
  await sleep(PHASE_MS);
  const ended = once(child, "exit");
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
