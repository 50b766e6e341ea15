import type { ChunkId, ServerId } from "../../shared/base/ids.ts";
import type { RepairState } from "../fleet-view.ts";
import { type DangerClass, UNREADABLE } from "../placement/classify-chunk.ts";
import type { WaitingChunks } from "./waiting-chunks.ts";

/** Time after a complete pass until the next one. No pass is final. */
const REPEAT_MS = 5 * 60 * 1_000;

/** Chunks that a full pass found. */
interface Found {
  /** Chunks that lack a copy and have a source. */
  missing: number;
  /** Chunks that found no place in the waiting set: in all classes, and in the unreadable class. */
  skipped: number;
  unreadableSkipped: number;
}

/**
 * Reads the chunks of one unavailable server, or the table of under-replicated chunks, in pages.
 *
 * A full pass reads all of them, so that it finds the most endangered ones even if the places of
 * others are taken. It notes the first chunk of each class that found no place. When half of the
 * places of a class are free, a fetching pass begins at that chunk. Full passes repeat, and begin at
 * such a chunk too: a chunk that keeps its place for long does not keep the same others out for ever.
 */
export class RepairScan {
  readonly #serverId: ServerId | null;
  #isRunning = true;
  /** The class whose skipped chunks the running pass fetches. Null: a full pass. */
  #fetchedClass: DangerClass | null = null;
  /** The chunk at which the pass began. After the last chunk it continues with those before. */
  #origin: ChunkId | null = null;
  #hasWrapped = false;
  /** The last chunk that was read. Null at the beginning. */
  #after: ChunkId | null = null;
  #nextPassMs = 0;
  #isRepeatRequested = false;
  /** The first chunk of each class that found no place, in the order of the pass. */
  readonly #skipped = new Map<DangerClass, ChunkId>();
  #found: Found | null = null;
  #pass = nothingFound();

  /** @param serverId null for the table of under-replicated chunks */
  constructor(serverId: ServerId | null) {
    this.#serverId = serverId;
  }

  /** Whether a full pass has ended. */
  get isComplete(): boolean {
    return this.#found !== null;
  }

  /** Whether the last full pass found no chunk that can be repaired and lacks a copy. */
  get hasFoundNothing(): boolean {
    return this.#found?.missing === 0;
  }

  /** Number of chunks outside the waiting set. Approximate while chunks have no place in it. */
  get skippedCount(): number {
    return (this.#found ?? this.#pass).skipped;
  }

  /** The same for unreadable chunks, which `skippedCount` contains. */
  get unreadableSkippedCount(): number {
    return (this.#found ?? this.#pass).unreadableSkipped;
  }

  /** Whether a pass is not at its end. */
  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** Requests a full pass after the running one, whose position is kept. */
  requestRepeat(): void {
    this.#isRepeatRequested = true;
  }

  /** Returns whether a pass is running. Starts one if it is time. */
  hasWork(nowMs: number, waiting: WaitingChunks): boolean {
    if (this.#isRunning) return true;
    const skippedClasses = [...this.#skipped.keys()].sort((left, right) => left - right);
    if (this.#isRepeatRequested || nowMs >= this.#nextPassMs) {
      const first = skippedClasses.find((each) => each !== UNREADABLE);
      this.#start(null, first === undefined ? null : (this.#skipped.get(first) ?? null));
      return true;
    }
    const fetchedClass = skippedClasses.find(
      (each) => each !== UNREADABLE && waiting.isHalfEmpty(each),
    );
    if (fetchedClass === undefined) return false;
    this.#start(fetchedClass, this.#skipped.get(fetchedClass) ?? null);
    return true;
  }

  /**
   * Passes the next chunks to `visit`, about `limit`. Ends the pass after the last one.
   *
   * @returns the number of chunks
   */
  readPage(
    state: RepairState,
    page: { readonly limit: number; readonly nowMs: number },
    visit: (chunkId: ChunkId) => void,
  ): number {
    const { limit, nowMs } = page;
    if (this.#after === null && this.#origin !== null && !this.#hasWrapped) {
      this.#after = this.#origin;
      visit(this.#origin);
    }
    const chunkIds = this.#nextIds(state, limit);
    const isLast = chunkIds.length < limit;
    for (const chunkId of chunkIds) visit(chunkId);
    this.#after = chunkIds.at(-1) ?? this.#after;
    const isFull = this.#fetchedClass !== null && this.#skipped.has(this.#fetchedClass);
    const isWrapDue = isLast && this.#origin !== null && !this.#hasWrapped;
    if (isFull || (isLast && !isWrapDue)) this.#end(nowMs);
    else if (isWrapDue) {
      this.#hasWrapped = true;
      this.#after = null;
    }
    return chunkIds.length;
  }

  #nextIds(state: RepairState, limit: number): readonly ChunkId[] {
    const chunkIds =
      this.#serverId === null
        ? state.underReplicated(this.#after, limit)
        : state.chunksOfServer(this.#serverId, this.#after, limit);
    const origin = this.#origin;
    return origin !== null && this.#hasWrapped ? chunkIds.filter((id) => id < origin) : chunkIds;
  }

  /** Counts a chunk of this scan that lacks copies. */
  countMissing(dangerClass: DangerClass): void {
    if (dangerClass !== UNREADABLE) this.#pass.missing += 1;
  }

  /** Notes a chunk that found no place in its class. The scan finds it again. */
  skip(dangerClass: DangerClass, chunkId: ChunkId): void {
    if (!this.#skipped.has(dangerClass)) this.#skipped.set(dangerClass, chunkId);
  }

  /** Whether the running pass is a full one. It counts the chunks that it skips. */
  get isCounting(): boolean {
    return this.#isRunning && this.#fetchedClass === null;
  }

  /** Counts a chunk outside the waiting set that only the next full pass finds again. */
  countOutside(dangerClass: DangerClass): void {
    const counts = this.#isRunning || this.#found === null ? this.#pass : this.#found;
    counts.skipped += 1;
    if (dangerClass === UNREADABLE) counts.unreadableSkipped += 1;
  }

  /** Counts a chunk that has found a place. */
  countPlaced(): void {
    if (this.#fetchedClass === null || this.#found === null) return;
    this.#found.skipped = Math.max(0, this.#found.skipped - 1);
  }

  hasSkipped(dangerClass: DangerClass): boolean {
    return this.#skipped.has(dangerClass);
  }

  #start(fetchedClass: DangerClass | null, origin: ChunkId | null): void {
    this.#isRunning = true;
    this.#fetchedClass = fetchedClass;
    this.#origin = origin;
    this.#hasWrapped = false;
    this.#after = null;
    if (fetchedClass !== null) {
      this.#skipped.delete(fetchedClass);
      return;
    }
    this.#skipped.clear();
    this.#isRepeatRequested = false;
    this.#pass = nothingFound();
  }

  #end(nowMs: number): void {
    this.#isRunning = false;
    if (this.#fetchedClass === null) {
      this.#found = this.#pass;
      this.#nextPassMs = nowMs + REPEAT_MS;
    }
    this.#fetchedClass = null;
  }
}

const nothingFound = (): Found => ({ missing: 0, skipped: 0, unreadableSkipped: 0 });
