import { Counter } from "./counter.ts";
import type { Journal } from "./journal.ts";
import { Reader } from "./reader.ts";
import { waitFor } from "./run-tool.ts";
import type { SoakCluster } from "./soak-cluster.ts";
import { type Tally, Writer } from "./writer.ts";

const WRITERS = 6;
const READERS = 3;
/** Of one call with all its retries: long enough for an election, short enough to be seen. */
const CALL_TIMEOUT_MS = 15_000;
const PAUSE_TIMEOUT_MS = 150_000;

/** Writers and readers, each with connections of its own, that go on until they are paused. */
export class Workload {
  readonly tally: Tally = {
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

  async start(cluster: SoakCluster, journal: Journal): Promise<void> {
    const { tally, counter, writers } = this;
    for (let number = 1; number <= WRITERS; number += 1) {
      const fileSystem = await cluster.connect(`writer-${number}`, CALL_TIMEOUT_MS);
      const writer = new Writer({ number, fileSystem, journal, tally, counter });
      await writer.open();
      if (number === 1) await counter.open(fileSystem);
      writers.push(writer);
    }
    for (let number = 1; number <= READERS; number += 1) {
      const fileSystem = await cluster.connect(`reader-${number}`, CALL_TIMEOUT_MS);
      this.#readers.push(new Reader({ fileSystem, writers, journal, tally, counter }));
    }
    this.#loops.push(...[...writers, ...this.#readers].map((client) => this.#loop(client)));
  }

  /** Resolves when every change is settled and nothing is under way. */
  async pause(): Promise<void> {
    this.#isPaused = true;
    const count = this.writers.length + this.#readers.length;
    const isIdle = await waitFor(
      () => this.#idleCount === count || this.#failure !== null,
      PAUSE_TIMEOUT_MS,
    );
    if (this.#failure !== null) throw this.#failure;
    if (!isIdle) throw new Error(`${count - this.#idleCount} clients did not come to an end`);
  }

  resume(): void {
    this.#isPaused = false;
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** Resolves once so many more changes are acknowledged, to false if they are not in time. */
  async waitForTraffic(count: number, timeoutMs: number): Promise<boolean> {
    const goal = this.tally.acknowledged + count;
    await waitFor(() => this.tally.acknowledged >= goal || this.#failure !== null, timeoutMs);
    if (this.#failure !== null) throw this.#failure;
    return this.tally.acknowledged >= goal;
  }

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
