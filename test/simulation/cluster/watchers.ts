import type { FileSystem } from "../../../client/file-system.ts";
import { FeedRecord } from "./feed-record.ts";
import { FeedWatch } from "./feed-watch.ts";
import { makeClient, type SimulatedClient } from "./simulated-client.ts";
import { addressesOf, type SimulatedMaster } from "./simulated-servers.ts";
import type { World } from "./simulation-environment.ts";
import { WATCHER_AWAY_MS_MAX, WatcherFaults } from "./watcher-faults.ts";
import type { NameOperation } from "./workload.ts";

const HOST = "w1";
/** A message is behind cut cables, or a watch is given up, for so long at most. */
const LATE_MS_MAX = 15_000;

export interface WatchersOptions {
  readonly masters: readonly SimulatedMaster[];
  readonly committedIndex: () => number;
  readonly onBug: (error: unknown) => void;
}

/** Two watches over everything: the observer's, to which nothing happens, and a restless one. */
export class Watchers {
  readonly #world: World;
  readonly #options: WatchersOptions;
  readonly #calm: FeedWatch;
  readonly #restless: FeedWatch;
  /** The program that has the restless one. */
  readonly process: SimulatedClient;
  readonly faults: WatcherFaults;

  constructor(world: World, options: WatchersOptions) {
    this.#world = world;
    this.#options = options;
    const { masters, committedIndex } = options;
    const watching = { record: new FeedRecord(), committedIndex };
    this.#calm = new FeedWatch(world, { name: "observer", lateMsMax: LATE_MS_MAX, ...watching });
    const lateMsMax = LATE_MS_MAX + WATCHER_AWAY_MS_MAX;
    const restless = new FeedWatch(world, { name: HOST, lateMsMax, ...watching });
    this.#restless = restless;
    world.giveWire(HOST);
    this.process = makeClient(world, HOST, {
      masters: () => addressesOf(masters),
      begin: ({ clock }, fs) => this.#keep(restless.run({ clock, fs })),
    });
    const { process } = this;
    const forgetPlace = (): void => restless.forgetPlace();
    this.faults = new WatcherFaults(world, { watcher: process, masters, forgetPlace });
  }

  get eventCount(): number {
    return this.#calm.eventCount + this.#restless.eventCount;
  }

  get gapCount(): number {
    return this.#calm.gapCount + this.#restless.gapCount;
  }

  /** Everything at and after `index` counts. */
  begin(fs: FileSystem, index: number): void {
    this.#calm.begin(index);
    this.#restless.begin(index);
    this.process.start();
    this.#keep(this.#calm.run({ clock: this.#world.clock, fs }));
  }

  isBeyond(index: number): boolean {
    return this.#calm.isBeyond(index) && this.#restless.isBeyond(index);
  }

  /** @throws {Violation} if one of them lacks what was done up to the index, or what the other has */
  check(history: readonly NameOperation[], upTo: number): void {
    const watches = [this.#calm, this.#restless];
    for (const each of watches) each.stop();
    for (const each of watches) each.check(history, upTo);
    this.#restless.checkGaps(this.#calm);
  }

  #keep(work: Promise<void>): void {
    work.catch(this.#options.onBug);
  }
}
