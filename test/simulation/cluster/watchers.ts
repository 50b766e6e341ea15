import type { FileSystem } from "../../../client/file-system.ts";
import { FeedWatch } from "./feed-watch.ts";
import { ReceivedEvents } from "./received-events.ts";
import { makeClient, type SimulatedClient } from "./simulated-client.ts";
import { addressesOf, type SimulatedMaster } from "./simulated-servers.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";
import { WATCHER_LONG_PAUSE_MS_MAX, WatcherFaults } from "./watcher-faults.ts";
import type { NameOperation } from "./workload.ts";

/** Host of the disturbed watch. */
const HOST = "w1";
/** Upper bound of the time for which a cut link, or a watch without progress, delays a message. */
const DELAY_MS_MAX = 15_000;

/** The masters, and callbacks into the simulation. */
export interface WatchersDeps {
  readonly masters: readonly SimulatedMaster[];
  /** Returns the highest index that is known to be committed. */
  readonly committedIndex: () => number;
  /** Called with the error of a watch that fails: a violation or a bug. */
  readonly onError: (error: unknown) => void;
}

/**
 * Two watches of the whole tree. The undisturbed one belongs to the observer, which has no faults
 * of its own. The disturbed one belongs to a process with the faults of `WatcherFaults`.
 */
export class Watchers {
  readonly #environment: SimulationEnvironment;
  readonly #deps: WatchersDeps;
  readonly #undisturbed: FeedWatch;
  readonly #disturbed: FeedWatch;
  /** The process with the disturbed watch. */
  readonly process: SimulatedClient;
  readonly faults: WatcherFaults;

  constructor(environment: SimulationEnvironment, deps: WatchersDeps) {
    this.#environment = environment;
    this.#deps = deps;
    const { masters, committedIndex } = deps;
    const shared = { received: new ReceivedEvents(), committedIndex };
    this.#undisturbed = new FeedWatch(environment, {
      name: "observer",
      delayMsMax: DELAY_MS_MAX,
      ...shared,
    });
    const delayMsMax = DELAY_MS_MAX + WATCHER_LONG_PAUSE_MS_MAX;
    const disturbed = new FeedWatch(environment, { name: HOST, delayMsMax, ...shared });
    this.#disturbed = disturbed;
    environment.useOwnDelayRandom(HOST);
    this.process = makeClient(environment, HOST, {
      masters: () => addressesOf(masters),
      onConnected: ({ clock }, fs) => this.#reportFailureOf(disturbed.run({ clock, fs })),
    });
    const { process } = this;
    const forgetPosition = (): void => disturbed.forgetPosition();
    this.faults = new WatcherFaults(environment, { watcher: process, masters, forgetPosition });
  }

  /** Number of events that the two watches received, in total. */
  get eventCount(): number {
    return this.#undisturbed.eventCount + this.#disturbed.eventCount;
  }

  /** Number of INDEX_EXPIRED errors of the two watches, in total. */
  get expiredCount(): number {
    return this.#undisturbed.expiredCount + this.#disturbed.expiredCount;
  }

  /** Starts both watches. The events at and after `index` are expected. `fs` is the observer's. */
  start(fs: FileSystem, index: number): void {
    this.#undisturbed.setStart(index);
    this.#disturbed.setStart(index);
    this.process.start();
    this.#reportFailureOf(this.#undisturbed.run({ clock: this.#environment.clock, fs }));
  }

  /** Returns whether both watches have received all events of the entry at `index`. */
  hasPassed(index: number): boolean {
    return this.#undisturbed.hasPassed(index) && this.#disturbed.hasPassed(index);
  }

  /**
   * Ends both watches and checks that no event is missing.
   *
   * @throws {Violation} if a watch has not received an event of an acknowledged change up to
   *   `lastIndex`, or an event that the other watch has received
   */
  check(history: readonly NameOperation[], lastIndex: number): void {
    const watches = [this.#undisturbed, this.#disturbed];
    for (const each of watches) each.stop();
    for (const each of watches) each.check(history, lastIndex);
    this.#disturbed.checkExpiredRanges(this.#undisturbed);
  }

  #reportFailureOf(work: Promise<void>): void {
    work.catch(this.#deps.onError);
  }
}
