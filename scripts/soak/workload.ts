import { Counter } from "./counter.ts";
import type { Journal } from "./journal.ts";
import { Reader } from "./reader.ts";
import { waitFor } from "./run-tool.ts";
import type { SoakCluster } from "./soak-cluster.ts";
import { type TrafficCounts, Writer } from "./writer.ts";

const WRITERS = 6;
const READERS = 3;
/** Timeout of one call with its retries: enough for an election, short enough to show an outage. */
const CALL_TIMEOUT_MS = 15_000;
const PAUSE_TIMEOUT_MS = 150_000;

/** Writers and readers, each with its own connections. They run until they are paused. */
export class Workload {
  readonly counts: TrafficCounts = {
    acknowledged: 0,
    unknown: 0,
    reads: 0,
    failedReads: 0,
    failedReadsByCode: {},
  };
  readonly counter: Counter;
  readonly writers: Writer[] = [];
  readonly #readers: Reader[] = [];
  readonly #loops: Promise<void>[] = [];
  #isPaused = false;
  #isStopping = false;
  #idleCount = 0;
  #failure: unknown = null;
  readonly #wake: (() => void)[] = [];

  constructor(journal: Journal) {
    this.counter = new Counter(journal);
  }

  /** Connects the clients and starts their loops. */
  async start(cluster: SoakCluster, journal: Journal): Promise<void> {
    const { counts, counter, writers } = this;
    for (let number = 1; number <= WRITERS; number += 1) {
      const fileSystem = await cluster.connect(`writer-${number}`, CALL_TIMEOUT_MS);
      const writer = new Writer({ number, fileSystem, journal, counts, counter });
      await writer.open();
      if (number === 1) await counter.open(fileSystem);
      writers.push(writer);
    }
    for (let number = 1; number <= READERS; number += 1) {
      const fileSystem = await cluster.connect(`reader-${number}`, CALL_TIMEOUT_MS);
      this.#readers.push(new Reader({ fileSystem, writers, journal, counts, counter }));
    }
    this.#loops.push(...[...writers, ...this.#readers].map((client) => this.#loop(client)));
  }

  /** Pauses the clients. Resolves when every change is settled and no call is in progress. */
  async pause(): Promise<void> {
    this.#isPaused = true;
    const count = this.writers.length + this.#readers.length;
    const isIdle = await waitFor(
      () => this.#idleCount === count || this.#failure !== null,
      PAUSE_TIMEOUT_MS,
    );
    if (this.#failure !== null) throw this.#failure;
    if (!isIdle) throw new Error(`Cannot pause: ${count - this.#idleCount} clients are still busy`);
  }

  /** Continues after `pause`. */
  resume(): void {
    this.#isPaused = false;
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** Resolves with whether `count` more changes were acknowledged within `timeoutMs`. */
  async waitForTraffic(count: number, timeoutMs: number): Promise<boolean> {
    const goal = this.counts.acknowledged + count;
    await waitFor(() => this.counts.acknowledged >= goal || this.#failure !== null, timeoutMs);
    if (this.#failure !== null) throw this.#failure;
    return this.counts.acknowledged >= goal;
  }

  /** Stops the clients and closes their connections. */
  async close(): Promise<void> {
    this.#isStopping = true;
    this.resume();
    await Promise.all([...this.writers, ...this.#readers].map((client) => client.close()));
    await Promise.allSettled(this.#loops);
  }

  async #loop(client: Writer | Reader): Promise<void> {
    while (!this.#isStopping) {
      if (this.#isPaused) {
        this.#idleCount += 1;
        await new Promise<void>((resolve) => this.#wake.push(resolve));
        this.#idleCount -= 1;
        continue;
      }
      try {
        await client.step();
      } catch (error) {
        if (this.#isStopping) return;
        this.#failure = error;
        return;
      }
    }
  }
}
