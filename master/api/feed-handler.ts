import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import { parsePath } from "../../shared/base/path.ts";
import { type FeedPosition, type WatchMessage, watch } from "../../shared/protocol/feed-api.ts";
import type { CallContext, Handlers, Stream } from "../../shared/wire/rpc.ts";
import { type ByteText, bytesToText } from "../namespace/keys.ts";
import type { MasterDeps } from "./leader-context.ts";

/** Events that one look at the feed reads: a few milliseconds of work. */
const ROWS_MAX = 256;
/** Of one message, about; one path may add 64 KiB. Below the wire's bound for heads. */
const MESSAGE_BYTES_MAX = 128 * 1024;
/** Patience for a leader's word on how far the log is committed. */
const CONFIRM_TIMEOUT_MS = 5_000;
/** Heartbeats without a leader after which the watcher is sent elsewhere. */
const LEADERLESS_HEARTBEATS_MAX = 2;

type FeedDeps = Pick<MasterDeps, "consensus" | "env" | "namespace">;

/**
 * Serves `shared/protocol/feed-api`: any master, from what it has applied, so from committed
 * entries alone. Disposing it ends all streams, and their watchers go on at another master.
 */
export class FeedService implements Disposable {
  readonly #deps: FeedDeps;
  readonly #feeds = new Set<FeedStream>();
  #isStopped = false;

  constructor(deps: FeedDeps) {
    this.#deps = deps;
  }

  register(handlers: Handlers): void {
    handlers.onStream(watch, async (request, stream, context) => {
      request.release();
      const { path, from, heartbeatMs } = request.head;
      const within = parsePath(path).map(bytesToText);
      if (this.#isStopped) throw stopping();
      const feed = new FeedStream(this.#deps, { stream, context, within, heartbeatMs });
      this.#feeds.add(feed);
      try {
        await feed.run(from);
      } finally {
        this.#feeds.delete(feed);
        feed.stop();
      }
    });
  }

  [Symbol.dispose](): void {
    this.#isStopped = true;
    for (const feed of this.#feeds) feed.stop();
  }
}

interface FeedStreamOptions {
  readonly stream: Stream<WatchMessage, object>;
  readonly context: CallContext;
  readonly within: readonly ByteText[];
  readonly heartbeatMs: number;
}

/** One watcher. It is sent what it asked for as fast as it takes it, and nothing is kept for it. */
class FeedStream {
  readonly #deps: FeedDeps;
  readonly #options: FeedStreamOptions;
  /** Why the stream is over; null: it is not. */
  #endReason: AshlarError | null = null;
  /** Told when the stream is over: whoever waits. */
  #onEnd: (error: AshlarError) => void = () => {};
  #leaderlessCount = 0;

  constructor(deps: FeedDeps, options: FeedStreamOptions) {
    this.#deps = deps;
    this.#options = options;
    const { signal } = options.context;
    const onAbort = (): void => this.#end(signal.reason as AshlarError);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  }

  stop(): void {
    this.#end(stopping());
  }

  /** Ends by throwing: a feed has no last event. */
  async run(from: FeedPosition | undefined): Promise<never> {
    const { clock } = this.#deps.env;
    const { within, heartbeatMs } = this.#options;
    let next = await this.#unlessEnded(this.#startPosition(from));
    let dueMs = clock.monotonicMs();
    for (;;) {
      const request = { from: next, within, rowsMax: ROWS_MAX, bytesMax: MESSAGE_BYTES_MAX };
      const page = this.#deps.namespace().feed(request);
      ({ next } = page);
      if (page.events.length > 0 || clock.monotonicMs() >= dueMs) {
        await this.#unlessEnded(this.#options.stream.send({ events: [...page.events], next }));
        dueMs = clock.monotonicMs() + heartbeatMs;
      }
      // Another look at once while there is more; but others have their turn between.
      if (page.isLast) await this.#unlessEnded(this.#waitForEvents(next, dueMs));
      else await this.#unlessEnded(clock.yieldTurn());
    }
  }

  /** Where to begin. A position that this member has not reached is held against the leader's word. */
  async #startPosition(from: FeedPosition | undefined): Promise<FeedPosition> {
    const { consensus, namespace } = this.#deps;
    const isReached = from !== undefined && isCoveredBy(from, namespace().appliedIndex);
    if (isReached) return from;
    const committed = await consensus.confirmRead(CONFIRM_TIMEOUT_MS);
    const applied = Math.max(committed, namespace().appliedIndex) as LogIndex;
    if (from === undefined) return { index: (applied + 1) as LogIndex, sequence: 0 };
    if (isCoveredBy(from, applied)) return from;
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot watch from index ${from.index}: expected at most ${applied + 1}, the next one`,
      { details: { nextIndex: applied + 1 } },
    );
  }

  /** Resolves when the state shows `position`, or at `dueMs`, when the watcher is owed a word. */
  async #waitForEvents({ index }: FeedPosition, dueMs: number): Promise<void> {
    const { consensus, env } = this.#deps;
    try {
      await consensus.waitApplied(index, Math.max(0, dueMs - env.clock.monotonicMs()));
    } catch (error) {
      if (!isAshlarError(error, "DEADLINE_EXCEEDED")) throw error;
      this.#checkLeader();
    }
  }

  /** Cut off from the others, this member would be silent for ever. */
  #checkLeader(): void {
    const hasLeader = this.#deps.consensus.status().leaderId !== null;
    this.#leaderlessCount = hasLeader ? 0 : this.#leaderlessCount + 1;
    if (this.#leaderlessCount < LEADERLESS_HEARTBEATS_MAX) return;
    throw new AshlarError("NO_LEADER", "Cannot tell of changes: this master knows no leader");
  }

  #end(error: AshlarError): void {
    this.#endReason ??= error;
    this.#onEnd(error);
  }

  /**
   * Settles as `work` does, unless the stream is over first. A race with a promise of the stream's own
   * would leave some memory with it at every look, and a stream lives for an hour.
   */
  #unlessEnded<Result>(work: Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#onEnd = reject;
      if (this.#endReason !== null) reject(this.#endReason);
      work.then(resolve, reject);
    });
  }
}

/** Whether all before the position may be in a state at `applied`. */
function isCoveredBy({ index, sequence }: FeedPosition, applied: LogIndex): boolean {
  return index <= applied || (index === applied + 1 && sequence === 0);
}

const stopping = (): AshlarError =>
  new AshlarError("UNAVAILABLE", "Cannot tell of changes: this master stops");
