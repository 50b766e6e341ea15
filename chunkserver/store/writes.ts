import { assert } from "../../shared/base/assert.ts";
import { equalBytes } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES, type ChunkId, DIGEST_BYTES, type LogIndex } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { OpenPartial } from "./open-partial.ts";
import type { SpacePurpose } from "./reserve.ts";

/** Writes whose partial chunk is kept, at most: one more is OVERLOADED. */
const OPEN_WRITES_MAX = 4096;
/** Sealed writes that are remembered, at most: the oldest are forgotten first. */
const SEALED_WRITES_MAX = 8192;
/** A writer whose chain broke during the seal comes back within so long. */
const SEALED_KEPT_MS_MAX = 120_000;

export interface WriteRequest {
  /** 32 hex digits, drawn by the writer. */
  readonly writeId: string;
  readonly intentIndex: LogIndex;
  readonly lifetimeMs: number;
  /** null: unknown. */
  readonly sizeHintBytes: number | null;
  readonly purpose: SpacePurpose;
  /** The write goes on at this block boundary; what is there beyond it is forgotten. */
  readonly resumeAtBytes: number;
}

/** What a write asks of the store. */
export interface WriteBackend {
  /** Room for a new partial chunk. @throws {AshlarError} NO_SPACE, DISK_FAILED, OVERLOADED */
  makePartial(request: WriteRequest): Promise<OpenPartial>;
  /** Deletes the bytes of a partial chunk, released before. */
  discardPartial(partial: OpenPartial): Promise<void>;
  /** Seals the partial chunk; its bytes belong to the index then, or are discarded as known. */
  sealPartial(partial: OpenPartial, sealing: Sealing): Promise<void>;
  /** Raises the intent of a sealed chunk. @throws {AshlarError} CHUNK_NOT_FOUND */
  raiseIntent(sealing: Sealing): Promise<void>;
  isHere(chunkId: ChunkId): boolean;
  /** Block hashes of a sealed chunk. @throws {AshlarError} CHUNK_NOT_FOUND */
  hashes(chunkId: ChunkId): Uint8Array;
}

export interface Sealing {
  readonly chunkId: ChunkId;
  readonly lengthBytes: number;
  readonly intentIndex: LogIndex;
  readonly lifetimeMs: number;
}

/** What became of a write. A `sealed` one is remembered so that a broken chain can be resumed. */
export type WriteState =
  | { readonly kind: "open"; readonly partial: OpenPartial }
  | { readonly kind: "sealed"; readonly chunkId: ChunkId; readonly lengthBytes: number }
  | { readonly kind: "gone" };

interface Entry {
  readonly writeId: string;
  /** Resolves when the last take-over, seal or deletion of the entry is over: they exclude one another. */
  turn: Promise<void>;
  state: WriteState;
  holder: WriteLease | null;
  /** Monotonic time; counts only while nobody holds the write. */
  expiresAtMs: number;
}

/**
 * The writes under way, by their write id.
 *
 * Invariant: one lease at a time may change a write. A writer that comes back takes the write over
 * after the bytes that the old lease had under way are on the file: a late write could otherwise
 * change bytes that the new lease has verified.
 */
export class Writes {
  readonly #backend: WriteBackend;
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();
  /** Entries of `#entries` that are sealed, the oldest first. */
  readonly #sealed = new Set<Entry>();

  constructor(backend: WriteBackend, clock: Clock) {
    this.#backend = backend;
    this.#clock = clock;
  }

  /** Writes with bytes that are not sealed, held or not. */
  get openCount(): number {
    return this.#entries.size - this.#sealed.size;
  }

  /** How many bytes of the write are here; null if nothing is known of it. */
  receivedBytes(writeId: string): number | null {
    const state = this.#entries.get(writeId)?.state;
    if (state === undefined || state.kind === "gone") return null;
    return state.kind === "sealed" ? state.lengthBytes : state.partial.receivedBytes;
  }

  state(writeId: string): WriteState {
    return this.#entries.get(writeId)?.state ?? { kind: "gone" };
  }

  /**
   * Begins a write, or takes it over from its last holder.
   *
   * @throws {AshlarError} NO_SPACE, OVERLOADED, DISK_FAILED: nothing is kept.
   */
  async begin(request: WriteRequest): Promise<WriteLease> {
    assert(request.resumeAtBytes % BLOCK_BYTES === 0, "a write resumes at a block boundary");
    const entry = this.#entries.get(request.writeId) ?? this.#newEntry(request.writeId);
    const lease = new WriteLease(request, this.#backend, {
      isHolder: () => entry.holder === lease,
      state: () => entry.state,
      seal: (sealing) => inTurn(entry, () => this.#seal(entry, sealing)),
      onReleased: (keepMs) => this.#onReleased(entry, lease, keepMs),
    });
    entry.holder = lease;
    try {
      await inTurn(entry, () => this.#takeOver(entry, request));
    } catch (error) {
      if (entry.holder === lease) this.#drop(entry);
      throw error;
    }
    return lease;
  }

  /** Deletes what nobody holds and what has expired. Resolves with how many were deleted. */
  async expire(): Promise<number> {
    const nowMs = this.#clock.monotonicMs();
    let count = 0;
    for (const entry of [...this.#entries.values()]) {
      if (entry.holder !== null || entry.expiresAtMs > nowMs) continue;
      count += 1;
      this.#drop(entry); // A writer that comes back now begins anew.
      await inTurn(entry, () => this.#discard(entry));
    }
    return count;
  }

  /** Deletes all partial chunks: nobody could find them after a restart. No write may be held. */
  async close(): Promise<void> {
    for (const entry of [...this.#entries.values()]) {
      this.#drop(entry);
      await inTurn(entry, () => this.#discard(entry));
    }
  }

  #newEntry(writeId: string): Entry {
    if (this.openCount >= OPEN_WRITES_MAX) {
      throw new AshlarError(
        "OVERLOADED",
        `Cannot begin a write: expected at most ${OPEN_WRITES_MAX} writes that are not sealed`,
      );
    }
    const entry: Entry = {
      writeId,
      turn: Promise.resolve(),
      state: { kind: "gone" },
      holder: null,
      expiresAtMs: 0,
    };
    this.#entries.set(writeId, entry);
    return entry;
  }

  async #takeOver(entry: Entry, request: WriteRequest): Promise<void> {
    if (entry.state.kind === "open") {
      await entry.state.partial.idle();
      if (!entry.state.partial.isBroken) {
        entry.state.partial.truncate(request.resumeAtBytes);
        return;
      }
      await this.#discard(entry);
    }
    if (entry.state.kind === "sealed") {
      if (this.#backend.isHere(entry.state.chunkId)) return;
      this.#sealed.delete(entry); // It was purged or lost since: its bytes are needed again.
      entry.state = { kind: "gone" };
    }
    if (entry.state.kind === "gone") {
      entry.state = { kind: "open", partial: await this.#backend.makePartial(request) };
    }
  }

  async #seal(entry: Entry, sealing: Sealing): Promise<void> {
    const { state } = entry;
    if (state.kind === "gone") throw takenOver();
    const { chunkId, lengthBytes } = sealing;
    if (state.kind === "sealed") {
      if (state.chunkId === chunkId && state.lengthBytes === lengthBytes) {
        await this.#backend.raiseIntent(sealing);
        return;
      }
      throw new AshlarError(
        "CHUNK_CORRUPT",
        `Cannot seal a write as chunk ${chunkId}: it is sealed as ${state.chunkId}`,
      );
    }
    await state.partial.idle();
    await this.#backend.sealPartial(state.partial, sealing);
    entry.state = { kind: "sealed", chunkId, lengthBytes };
    if (this.#entries.get(entry.writeId) !== entry) return; // It expired meanwhile.
    this.#sealed.add(entry);
    if (this.#sealed.size > SEALED_WRITES_MAX) this.#forgetOldestSealed();
  }

  #forgetOldestSealed(): void {
    for (const oldest of this.#sealed) {
      if (oldest.holder !== null) continue;
      this.#drop(oldest);
      return;
    }
  }

  #onReleased(entry: Entry, lease: WriteLease, keepMs: number): void {
    if (entry.holder !== lease) return; // It was taken over: the new lease decides.
    entry.holder = null;
    const isSealed = entry.state.kind === "sealed";
    entry.expiresAtMs =
      this.#clock.monotonicMs() + (isSealed ? Math.min(keepMs, SEALED_KEPT_MS_MAX) : keepMs);
    if (entry.state.kind !== "open") return;
    const { partial } = entry.state;
    // Nothing to come back for: the next sweep deletes it.
    if (partial.receivedBytes === 0 || partial.isBroken) entry.expiresAtMs = 0;
  }

  #drop(entry: Entry): void {
    this.#sealed.delete(entry);
    if (this.#entries.get(entry.writeId) === entry) this.#entries.delete(entry.writeId);
  }

  async #discard(entry: Entry): Promise<void> {
    const { state } = entry;
    entry.state = { kind: "gone" };
    if (state.kind !== "open") return;
    await state.partial.idle();
    state.partial.release();
    await this.#backend.discardPartial(state.partial);
  }
}

/** Runs `task` after what came before it on the entry, whether that failed or not. */
function inTurn(entry: Entry, task: () => Promise<void>): Promise<void> {
  const turn = entry.turn.then(task);
  entry.turn = turn.catch(() => {}); // The caller gets the error; the next turn goes on.
  return turn;
}

function takenOver(): AshlarError {
  return new AshlarError("CANCELLED", "Cannot go on with the write: another writer took it over");
}

interface LeaseEvents {
  readonly isHolder: () => boolean;
  readonly state: () => WriteState;
  readonly seal: (sealing: Sealing) => Promise<void>;
  readonly onReleased: (keepMs: number) => void;
}

/** The right to go on with a write, until it is released or another writer takes the write over. */
export class WriteLease {
  readonly #request: WriteRequest;
  readonly #backend: WriteBackend;
  readonly #events: LeaseEvents;
  /** Hashes of the sealed chunk, once a resumed writer sends its blocks again. */
  #sealedHashes: Uint8Array | null = null;

  constructor(request: WriteRequest, backend: WriteBackend, events: LeaseEvents) {
    this.#request = request;
    this.#backend = backend;
    this.#events = events;
  }

  /** Bytes that were verified and written, without gap from the start. */
  get receivedBytes(): number {
    const state = this.#state();
    return state.kind === "sealed" ? state.lengthBytes : state.partial.receivedBytes;
  }

  /**
   * Writes blocks that the caller has checked against `hashes`. Resolves when the system has them;
   * not durable. Blocks of a write that is sealed already are compared and dropped.
   *
   * @throws {AshlarError} CANCELLED if another writer took the write over; see `OpenPartial.write`.
   */
  async write(offsetBytes: number, hashes: Uint8Array, bytes: Uint8Array): Promise<void> {
    const state = this.#state();
    if (state.kind === "open") {
      await state.partial.write(offsetBytes, hashes, bytes);
      return;
    }
    this.#sealedHashes ??= this.#backend.hashes(state.chunkId);
    const start = (offsetBytes / BLOCK_BYTES) * DIGEST_BYTES;
    const known = this.#sealedHashes.subarray(start, start + hashes.length);
    if (equalBytes(known, hashes)) return;
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot change blocks of a write that is sealed as chunk ${state.chunkId}`,
    );
  }

  /**
   * Seals the chunk. Durable when it resolves: its bytes, then its record.
   *
   * @throws {AshlarError} CHUNK_CORRUPT if the blocks do not make up `chunkId`; INVALID_ARGUMENT if
   *   not all of them are here; NO_SPACE; DISK_FAILED; CANCELLED.
   */
  async seal(chunkId: ChunkId, lengthBytes: number): Promise<void> {
    this.#state();
    const { intentIndex, lifetimeMs } = this.#request;
    await this.#events.seal({ chunkId, lengthBytes, intentIndex, lifetimeMs });
  }

  /** Lets the write go. What it holds is kept for the intent's lifetime, for a writer that comes back. */
  release(): void {
    this.#events.onReleased(this.#request.lifetimeMs);
  }

  /** Lets the write go for good: nobody comes back for what is not sealed. */
  abandon(): void {
    this.#events.onReleased(0);
  }

  #state(): Exclude<WriteState, { kind: "gone" }> {
    const state = this.#events.state();
    if (this.#events.isHolder() && state.kind !== "gone") return state;
    throw takenOver();
  }
}
