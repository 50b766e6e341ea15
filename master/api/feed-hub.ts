import { isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import type { FeedPosition } from "../../shared/protocol/feed-api.ts";
import { isBefore } from "../namespace/feed-query.ts";
import type { WatchedPath } from "../namespace/watched-path.ts";
import { DUE_INTERVAL_MS, DueWaits } from "./due-waits.ts";
import type { MasterDeps } from "./leader-context.ts";
import { WatchIndex } from "./watch-index.ts";

/** A watcher that has received all events, until an event concerns it or a heartbeat is due. */
export interface WaitingWatcher {
  readonly within: WatchedPath;
  /** Position of the first event that the watcher has not read. */
  readonly next: FeedPosition;
  /** Time of the next heartbeat, on the monotonic clock. */
  readonly dueMs: number;
}

/** The end of a wait. */
export interface WaitEnd {
  /** Position where the watcher continues: no event between `next` and it concerns the watcher. */
  readonly next: FeedPosition;
  /** Whether an event may concern the watcher. If not, its heartbeat is due. */
  readonly hasEvents: boolean;
}

interface Waiting extends WaitingWatcher {
  readonly resolve: (end: WaitEnd) => void;
  readonly reject: (error: unknown) => void;
}

/** Maximum number of events that the hub reads in one turn of the event loop. */
const EVENTS_PER_TURN = 256;
/**
 * Shortest time between two reads, unless more events are known to be ready. One read of many entries
 * costs much less than many reads.
 */
const READ_INTERVAL_MS = 5;

/**
 * Reads the feed once for all waiting watchers of this master, and wakes those that an event concerns.
 * Therefore a change costs the same with one watcher and with thousands of other directories.
 */
export class FeedHub {
  readonly #deps: Pick<MasterDeps, "consensus" | "env" | "namespace">;
  readonly #waiting = new WatchIndex<Waiting>();
  /** The same watchers, by the times of their heartbeats. */
  readonly #heartbeats = new DueWaits<Waiting>();
  /** Position of the first event that the hub has not read. Null while no watcher waits. */
  #next: FeedPosition | null = null;
  #heartbeatCheckMs = 0;
  /** Time before which the hub does not read again. */
  #readDueMs = 0;

  constructor(deps: Pick<MasterDeps, "consensus" | "env" | "namespace">) {
    this.#deps = deps;
  }

  /**
   * Resolves when an event concerns the watcher, or when its heartbeat is due. Call `cancel` of the
   * result if the watcher ends first.
   */
  wait(watcher: WaitingWatcher): { readonly end: Promise<WaitEnd>; cancel(): void } {
    let cancel = (): void => {};
    const end = new Promise<WaitEnd>((resolve, reject) => {
      if (this.#next !== null && isBefore(watcher.next, this.#next)) {
        // The hub has read an event that the watcher has not: the watcher reads it itself.
        resolve({ next: watcher.next, hasEvents: true });
        return;
      }
      const waiting = { ...watcher, resolve, reject };
      cancel = () => this.#remove(waiting);
      this.#waiting.add(waiting.within, waiting);
      this.#heartbeats.add(waiting);
      if (this.#next !== null) return;
      this.#next = watcher.next;
      this.#readWhileWatched().catch((error: unknown) => this.#fail(error));
    });
    return { end, cancel };
  }

  async #readWhileWatched(): Promise<void> {
    while (this.#waiting.size > 0) {
      await this.#waitForEvents();
      if (this.#waiting.size === 0) break;
      this.#readEvents();
      this.#endDueWaits();
    }
    // In the turn of the check: a watcher that comes later starts the reader again.
    this.#next = null;
  }

  #fail(error: unknown): void {
    this.#next = null;
    if (this.#waiting.size === 0 && !isAshlarError(error)) throw error; // A bug: the process stops.
    for (const waiting of this.#waiting.all()) this.#end(waiting, (each) => each.reject(error));
  }

  /** Resolves when an event may exist, or when heartbeats have to be checked. */
  async #waitForEvents(): Promise<void> {
    const { consensus, env } = this.#deps;
    const { index } = this.#position;
    if (index <= this.#deps.namespace().appliedIndex) {
      await env.clock.yieldTurn();
    } else {
      try {
        await consensus.waitApplied(index, DUE_INTERVAL_MS);
      } catch (error) {
        if (!isAshlarError(error, "DEADLINE_EXCEEDED")) throw error;
      }
    }
    const pauseMs = this.#readDueMs - env.clock.monotonicMs();
    if (pauseMs > 0) await env.clock.sleep(pauseMs);
  }

  get #position(): FeedPosition {
    return this.#next ?? { index: 0 as LogIndex, sequence: 0 };
  }

  #readEvents(): void {
    const from = this.#position;
    const { env, namespace } = this.#deps;
    const page = namespace().feedPlaces({ from, rowsMax: EVENTS_PER_TURN });
    const isCut = page !== null && page.next.index <= namespace().appliedIndex;
    this.#readDueMs = isCut ? 0 : env.clock.monotonicMs() + READ_INTERVAL_MS;
    if (page === null) {
      // Older events are no longer kept: each watcher finds out whether it has missed one.
      for (const waiting of this.#waiting.all()) this.#wake(waiting, waiting.next);
      return;
    }
    for (const place of page.places) {
      for (const waiting of this.#waiting.concernedBy(place)) {
        if (!isBefore(place.position, waiting.next)) this.#wake(waiting, place.position);
      }
    }
    this.#next = page.next;
  }

  #endDueWaits(): void {
    const nowMs = this.#deps.env.clock.monotonicMs();
    if (nowMs - this.#heartbeatCheckMs < DUE_INTERVAL_MS) return;
    this.#heartbeatCheckMs = nowMs;
    for (const waiting of this.#heartbeats.due(nowMs)) {
      const next = isBefore(waiting.next, this.#position) ? this.#position : waiting.next;
      this.#end(waiting, (each) => each.resolve({ next, hasEvents: false }));
    }
  }

  #wake(waiting: Waiting, next: FeedPosition): void {
    this.#end(waiting, (each) => each.resolve({ next, hasEvents: true }));
  }

  #end(waiting: Waiting, settle: (waiting: Waiting) => void): void {
    this.#remove(waiting);
    settle(waiting);
  }

  #remove(waiting: Waiting): void {
    this.#waiting.delete(waiting.within, waiting);
    this.#heartbeats.delete(waiting);
  }
}
