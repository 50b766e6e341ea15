import { setTimeout as sleep } from "node:timers/promises";
import type { Journal } from "../journal.ts";
import type { SoakCluster } from "../soak-cluster.ts";
import type { SoakNode } from "../soak-node.ts";
import type { Transfers } from "./transfers.ts";

/** The slow disk stands still for the first time of each pair and works for the second. */
const FROZEN_MS = 300;
const THAWED_MS = 900;
const FIRST_KILL_MS = 15_000;
const KILL_INTERVAL_MS = 60_000;
/** Time for which a killed server is down. */
const DOWN_MS = 5_000;
const WHOLE_TIMEOUT_MS = 60_000;

/** The faults of a run: one slow disk all the time, and a chunkserver that is killed again and again. */
export class DataFaults {
  readonly #cluster: SoakCluster;
  readonly #journal: Journal;
  readonly #transfers: Transfers;
  readonly #stop = new AbortController();
  readonly #loops: Promise<void>[] = [];
  killCount = 0;
  freezeCount = 0;

  constructor(cluster: SoakCluster, journal: Journal, transfers: Transfers) {
    this.#cluster = cluster;
    this.#journal = journal;
    this.#transfers = transfers;
  }

  start(): void {
    const [slow, killed] = this.#cluster.chunkservers;
    if (slow === undefined || killed === undefined) throw new Error("There are two chunkservers");
    this.#loops.push(this.#slowDown(slow), this.#killRepeatedly(killed));
  }

  /** Ends the faults. Resolves when the disk works and the server runs. */
  async end(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#loops);
  }

  async #slowDown(node: SoakNode): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await node.disk.freeze();
      await sleep(FROZEN_MS);
      await node.disk.thaw();
      this.freezeCount += 1;
      await this.#pause(THAWED_MS);
    }
  }

  async #killRepeatedly(node: SoakNode): Promise<void> {
    await this.#pause(FIRST_KILL_MS);
    while (!this.#stop.signal.aborted) {
      await this.#transfers.during(async () => {
        this.#journal.write("kill", { node: node.name });
        await node.signal("SIGKILL");
        await sleep(DOWN_MS);
        await node.start();
        const problem = await this.#cluster.waitUntilWhole(WHOLE_TIMEOUT_MS);
        if (problem !== null) this.#journal.violation(`not whole 60 s after a kill: ${problem}`);
      });
      this.killCount += 1;
      await this.#pause(KILL_INTERVAL_MS);
    }
  }

  async #pause(ms: number): Promise<void> {
    const { signal } = this.#stop;
    await sleep(ms, undefined, { signal }).catch(() => {}); // Aborted: the loop ends.
  }
}
