import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import { parsePath } from "../../shared/base/path.ts";
import {
  type FeedPosition,
  type WatchMessage,
  type WatchRequest,
  watch,
} from "../../shared/protocol/feed-api.ts";
import type { CallContext, Handlers, Stream } from "../../shared/wire/rpc.ts";
import { type WatchedPath, watchedPath } from "../namespace/watched-path.ts";
import { confirmRead } from "./call-waits.ts";
import { FeedHub } from "./feed-hub.ts";
import type { MasterDeps } from "./leader-context.ts";
import { WatchMemory } from "./watch-memory.ts";

/** Maximum number of rows in one read of the feed. Takes a few milliseconds. */
const ROWS_MAX = 256;
/**
 * Approximate size of one message. One path can add 64 KiB. Smaller than the limit of a wire head.
 */
const MESSAGE_BYTES_MAX = 128 * 1024;
/** Timeout for the confirmation of the committed index by the leader. */
const CONFIRM_TIMEOUT_MS = 5_000;
/** Number of heartbeats without a known leader after which the stream ends with NO_LEADER. */
const LEADERLESS_HEARTBEATS_MAX = 2;

type FeedDeps = Pick<MasterDeps, "consensus" | "env" | "namespace">;

/**
 * Serves `shared/protocol/feed-api`. Every master serves the feed from its applied entries, so the
 * feed contains committed changes only. Disposal of the service ends all streams, and the watchers
 * continue at another master.
 */
export class FeedService implements Disposable {
  readonly #deps: FeedDeps;
  readonly #hub: FeedHub;
  readonly #memory = new WatchMemory();
  readonly #feeds = new Set<FeedStream>();
  #isStopped = false;

  constructor(deps: FeedDeps) {
    this.#deps = deps;
    this.#hub = new FeedHub(deps);
  }

  /** Registers the handler of `watch`. Call it before the server listens. */
  register(handlers: Handlers): void {
    handlers.onStream(watch, async (request, stream, context) => {
      request.release();
      const release = this.#memory.acquire(context.peerAddress, request.head.path.length);
      try {
        await context.turn(); // The streams of a connection start in one turn.
        await this.#serve(request.head, stream, context);
      } finally {
        release();
      }
    });
  }

  async #serve(
    { path, from, heartbeatMs }: WatchRequest,
    stream: Stream<WatchMessage, object>,
    context: CallContext,
  ): Promise<void> {
    const within = watchedPath(parsePath(path));
    if (this.#isStopped) throw stopping();
    const feed = new FeedStream(
      { ...this.#deps, hub: this.#hub },
      { stream, context, within, heartbeatMs },
    );
    this.#feeds.add(feed);
    try {
      await feed.run(from);
    } finally {
      this.#feeds.delete(feed);
      feed.stop();
    }
  }

  [Symbol.dispose](): void {
    this.#isStopped = true;
    for (const feed of this.#feeds) feed.stop();
  }
}

interface FeedStreamOptions {
  readonly stream: Stream<WatchMessage, object>;
  readonly context: CallContext;
  readonly within: WatchedPath;
  readonly heartbeatMs: number;
}

/**
 * The stream of one watcher. Reads the feed as fast as the watcher receives it, and buffers no
 * events.
 */
class FeedStream {
  readonly #deps: FeedDeps & { readonly hub: FeedHub };
  readonly #options: FeedStreamOptions;
  /** The error with which the stream ended, or null. */
  #endReason: AshlarError | null = null;
  /** Rejects the operation that is awaited when the stream ends. */
  #onEnd: (error: AshlarError) => void = () => {};
  #leaderlessCount = 0;

  constructor(deps: FeedDeps & { readonly hub: FeedHub }, options: FeedStreamOptions) {
    this.#deps = deps;
    this.#options = options;
    const { signal } = options.context;
    const onAbort = (): void => this.#end(signal.reason as AshlarError);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  }

  /** Whether the stream has ended. */
  get isAborted(): boolean {
    return this.#endReason !== null;
  }

  /** Returns the time for which the stream waits for the confirmation of an index. */
  remainingMs(): number {
    return CONFIRM_TIMEOUT_MS;
  }

  /** Resolves in the next turn of this stream. */
  turn(): Promise<void> {
    return this.#options.context.turn();
  }

  /** Ends the stream with UNAVAILABLE. */
  stop(): void {
    this.#end(stopping());
  }

  /** Sends events until the stream ends. Always rejects: a feed has no last event. */
  async run(from: FeedPosition | undefined): Promise<never> {
    const { clock } = this.#deps.env;
    const { within, heartbeatMs } = this.#options;
    let next = await this.#unlessEnded(this.#startPosition(from));
    let dueMs = clock.monotonicMs();
    for (;;) {
      // One change can wake all watchers, and more events may be ready.
      await this.#unlessEnded(this.turn());
      const request = { from: next, within, rowsMax: ROWS_MAX, bytesMax: MESSAGE_BYTES_MAX };
      const page = this.#deps.namespace().feed(request);
      ({ next } = page);
      if (page.events.length > 0 || clock.monotonicMs() >= dueMs) {
        await this.#unlessEnded(this.#options.stream.send({ events: [...page.events], next }));
        dueMs = clock.monotonicMs() + heartbeatMs;
      }
      if (page.isLast) next = await this.#waitForEvents(next, dueMs);
    }
  }

  /**
   * Returns the position at which the feed starts. A position after the applied index is checked
   * against the committed index of the leader.
   *
   * @throws {AshlarError} INVALID_ARGUMENT if the position is after the next index; NO_LEADER
   */
  async #startPosition(from: FeedPosition | undefined): Promise<FeedPosition> {
    const { namespace } = this.#deps;
    const isReached = from !== undefined && isCoveredBy(from, namespace().appliedIndex);
    if (isReached) return from;
    const committed = await confirmRead(this.#deps, this);
    const applied = Math.max(committed, namespace().appliedIndex) as LogIndex;
    if (from === undefined) return { index: (applied + 1) as LogIndex, sequence: 0 };
    if (isCoveredBy(from, applied)) return from;
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot watch from index ${from.index}: expected at most ${applied + 1}, the next index`,
      { details: { nextIndex: applied + 1 } },
    );
  }

  /** Resolves with the position to continue at, when events are ready or a heartbeat is due. */
  async #waitForEvents(next: FeedPosition, dueMs: number): Promise<FeedPosition> {
    const { within } = this.#options;
    const wait = this.#deps.hub.wait({ within, next, dueMs });
    try {
      const end = await this.#unlessEnded(wait.end);
      if (!end.hasEvents) this.#checkLeader();
      return end.next;
    } finally {
      wait.cancel();
    }
  }

  /**
   * Ends the stream after several heartbeats without a leader: a member that is cut off from the
   * others would send no events without any error.
   */
  #checkLeader(): void {
    const hasLeader = this.#deps.consensus.status().leaderId !== null;
    this.#leaderlessCount = hasLeader ? 0 : this.#leaderlessCount + 1;
    if (this.#leaderlessCount < LEADERLESS_HEARTBEATS_MAX) return;
    throw new AshlarError("NO_LEADER", "Cannot continue the watch: this master knows no leader");
  }

  #end(error: AshlarError): void {
    this.#endReason ??= error;
    this.#onEnd(error);
  }

  /**
   * Settles as `work` does, or rejects when the stream ends. Does not use Promise.race with one
   * promise for the whole stream: each race would add a reaction to that promise, and a stream
   * lasts for an hour.
   */
  #unlessEnded<Result>(work: Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#onEnd = reject;
      if (this.#endReason !== null) reject(this.#endReason);
      work.then(resolve, reject);
    });
  }
}

/** Returns whether a state at index `applied` contains all events before the position. */
function isCoveredBy({ index, sequence }: FeedPosition, applied: LogIndex): boolean {
  return index <= applied || (index === applied + 1 && sequence === 0);
}

const stopping = (): AshlarError =>
  new AshlarError("UNAVAILABLE", "Cannot continue the watch: this master is stopping");
