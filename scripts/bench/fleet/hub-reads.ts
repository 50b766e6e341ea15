import { FeedHub } from "../../../master/api/feed-hub.ts";
import type { Namespace } from "../../../master/namespace/namespace.ts";
import { watchedPathOf } from "../../../master/namespace/watched-path.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import { Deferred } from "../../../shared/flow/deferred.ts";
import { median } from "../../statistics.ts";
import type { BenchContext } from "../bench-context.ts";
import { atMost } from "../measurement.ts";
import { EntryWriter } from "./entry-writer.ts";
import { makeDirectory, OWNER } from "./prepare-state.ts";

const suite = "fleet";
/** Bound of the cost of all watchers together for an entry that concerns none of them. */
const ENTRY_MICROS_MAX = 5;
const DIRECTORY = "/entries";
/** Entries between two reads of the feed: the hub waits 5 ms, in which a loaded leader applies so many. */
const ENTRIES_PER_READ = [1, 32];
const ROUNDS = 5;
const READS_PER_ROUND = 200;
/** Rounds that are not measured: the process compiles its code in them. */
const WARM_UP_ROUNDS = 10;

/**
 * Measures in this process what all watchers together cost for an entry that concerns none of them: the
 * read of the feed, on a prepared state. Without watchers nothing reads it.
 */
export async function measureHubReads(
  { report, fleet }: Pick<BenchContext, "report" | "fleet">,
  namespace: Namespace,
): Promise<void> {
  const writer = new EntryWriter(namespace);
  writer.openSession();
  writer.transact(makeDirectory(DIRECTORY));
  const watched = new WatchedState(namespace, fleet.watchers);
  let created = 0;
  for (const entries of ENTRIES_PER_READ) {
    const micros: number[] = [];
    for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round += 1) {
      let cpuMicros = 0;
      for (let read = 0; read < READS_PER_ROUND; read += 1) {
        for (let entry = 0; entry < entries; entry += 1) {
          const target = { path: Buffer.from(`${DIRECTORY}/${created}`) };
          writer.transact({ kind: "create", target, mode: 0o644, ...OWNER });
          created += 1;
        }
        // The services of the leader read ranges too, so the changes in memory are sorted anyway.
        namespace.reclaimPending(0);
        cpuMicros += await watched.read();
      }
      micros.push(cpuMicros / (READS_PER_ROUND * entries));
    }
    const name = `CPU that ${fleet.watchers} watchers add to an entry, ${entries} a read`;
    const value = median(micros.slice(WARM_UP_ROUNDS));
    const figure = { suite, name, value, unit: "CPU-µs" };
    report(entries === 1 ? figure : atMost({ ...figure, bound: ENTRY_MICROS_MAX }));
  }
}

/** The watchers of a state. They read the feed only when `read` says that entries were applied. */
class WatchedState {
  #applied = new Deferred<void>();
  #caughtUp = new Deferred<void>();

  constructor(namespace: Namespace, watchers: number) {
    const consensus = {
      waitApplied: () => {
        this.#caughtUp.resolve();
        this.#applied = new Deferred<void>();
        return this.#applied.promise;
      },
    };
    const clock = { monotonicMs: () => 0, yieldTurn: async () => {}, sleep: async () => {} };
    const deps = { consensus, env: { clock }, namespace: () => namespace };
    const hub = new FeedHub(deps as unknown as ConstructorParameters<typeof FeedHub>[0]);
    const next = { index: (namespace.appliedIndex + 1) as LogIndex, sequence: 0 };
    for (let number = 0; number < watchers; number += 1) {
      const within = watchedPathOf(["watched", String(number)]);
      hub.wait({ within, next, dueMs: Number.POSITIVE_INFINITY });
    }
  }

  /** Lets the watchers read all applied entries. Resolves with the processor time in microseconds. */
  async read(): Promise<number> {
    this.#caughtUp = new Deferred<void>();
    const before = process.cpuUsage();
    this.#applied.resolve();
    await this.#caughtUp.promise;
    const { user, system } = process.cpuUsage(before);
    return user + system;
  }
}
