import { median } from "../../statistics.ts";
import type { BenchContext } from "../bench-context.ts";
import { runMany } from "../rates.ts";
import type { FleetReport } from "./fleet-report.ts";
import { Watchers } from "./watchers.ts";

const ROUNDS = 6;
const CREATES_PER_TURN = 5_000;
const CALLERS = 64;
/** So rare that the heartbeats do not count in the cost of an entry. */
const RARE_HEARTBEAT_MS = 60_000;

/** Returns the path of a directory that is watched and does not change. */
export function watchedDirectory(number: number): string {
  return `/watched/${number}`;
}

/**
 * Measures what watchers add to the CPU time of the leader for a create in a directory that none of
 * them watches: without watchers, with one and with all of them in turns.
 */
export async function measureWatcherCosts(bench: BenchContext, report: FleetReport): Promise<void> {
  const { cluster, fileSystem, fleet } = bench;
  const counts = [0, 1, fleet.watchers];
  const micros: number[][] = counts.map(() => []);
  await fileSystem.mkdir("/unwatched");
  await report.part("creates beside watchers", async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [position, count] of counts.entries()) {
        const options = { heartbeatMs: RARE_HEARTBEAT_MS, directoryOf: watchedDirectory };
        await using _watchers = await Watchers.open(cluster, { count, ...options });
        const directory = `/unwatched/${round}-${position}`;
        await fileSystem.mkdir(directory);
        const load = { count: CREATES_PER_TURN, parallel: CALLERS };
        const { spent } = await report.spending(() =>
          runMany(load, (number) => fileSystem.create(`${directory}/${number}`)),
        );
        micros[position]?.push(report.cpuMicros(spent, CREATES_PER_TURN));
      }
    }
  });
  for (const [position, count] of counts.entries()) {
    const name = `create with ${count} watchers elsewhere, CPU of the leader`;
    report.figure(name, median(micros[position] ?? []), "CPU-µs");
  }
  const [none = [], one = [], all = []] = micros;
  const added = (costs: readonly number[]): number =>
    median(costs.map((cost, round) => cost - (none[round] ?? Number.NaN)));
  // Without a bound: on a busy machine the difference varies by more than the watchers cost.
  report.figure("CPU that 1 watcher adds to an entry", added(one), "CPU-µs");
  report.figure(`CPU that ${fleet.watchers} watchers add to an entry`, added(all), "CPU-µs");
}
