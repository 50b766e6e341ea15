import { assert } from "../../shared/base/assert.ts";
import { equalBytes } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES, type ChunkId, DIGEST_BYTES, type LogIndex } from "../../shared/base/ids.ts";
import type { OpenPartial } from "./open-partial.ts";
import { createPartial, discardPartial, storePartial } from "./partials.ts";
import { hashesOf } from "./replicas.ts";
import type { SpacePurpose } from "./reserve.ts";
import { raiseIntent, type SealRequest } from "./seal.ts";
import type { StoreDeps } from "./store-deps.ts";

/** Maximum number of unsealed writes. Further writes are refused with OVERLOADED. */
const OPEN_WRITES_MAX = 4096;
/** Maximum number of remembered sealed writes. The oldest are forgotten first. */
const SEALED_WRITES_MAX = 8192;
/**
 * Time in milliseconds for which a sealed write is remembered, so that a broken seal can resume.
 */
const SEALED_KEPT_MS_MAX = 120_000;

/** A request to begin or resume a write. */
export interface WriteRequest {
  /** 32 hex digits, chosen by the writer. */
  readonly writeId: string;
  readonly intentIndex: LogIndex;
  /** Time in milliseconds for which the received bytes are kept without a writer. */
  readonly lifetimeMs: number;
  /** Length of the chunk in bytes. Null if it is not known. */
  readonly sizeHintBytes: number | null;
  readonly purpose: SpacePurpose;
  /** The write resumes at this block boundary. Received bytes beyond it are dropped. */
  readonly resumeAtBytes: number;
}

/** State of a write. A sealed write is remembered, so that a broken chain can be resumed. */
export type WriteState =
  | { readonly kind: "open"; readonly partial: OpenPartial }
  | { readonly kind: "sealed"; readonly chunkId: ChunkId; readonly lengthBytes: number }
  | { readonly kind: "gone" };

interface Entry {
  readonly writeId: string;
  /**
   * Resolves when the last take-over, seal or deletion of the entry has ended. These tasks run one
   * after another.
   */
  turn: Promise<void>;
  state: WriteState;
  holder: WriteLease | null;
  /** Monotonic time at which the write expires. Ignored while the write has a holder. */
  expiresAtMs: number;
}

/**
 * The writes in progress, by write id.
 *
 * Invariant: one lease at a time may change a write. A writer that resumes gets a new lease only
 * after the writes of the old lease have ended. A late write could otherwise change bytes that were
 * verified under the new lease.
 */
export class Writes {
  readonly #deps: StoreDeps;
  readonly #entries = new Map<string, Entry>();
  /** The sealed entries of `#entries`, the oldest first. */
  readonly #sealed = new Set<Entry>();

  constructor(deps: StoreDeps) {
    this.#deps = deps;
  }

  /** Number of writes that are not sealed, with or without a holder. */
  get openCount(): number {
    return this.#entries.size - this.#sealed.size;
  }

  /** Returns the received bytes of the write. Null if the write is not known. */
  receivedBytes(writeId: string): number | null {
    const state = this.#entries.get(writeId)?.state;
    if (state === undefined || state.kind === "gone") return null;
    return state.kind === "sealed" ? state.lengthBytes : state.partial.receivedBytes;
  }

  /** Returns the state of the write. "gone" if the write is not known. */
  state(writeId: string): WriteState {
    return this.#entries.get(writeId)?.state ?? { kind: "gone" };
  }

  /**
   * Begins a write, or takes it over from its previous holder.
   *
   * @throws {AshlarError} NO_SPACE, OVERLOADED, DISK_FAILED: nothing is kept.
   */
  async begin(request: WriteRequest): Promise<WriteLease> {
    assert(request.resumeAtBytes % BLOCK_BYTES === 0, "a write resumes at a block boundary");
    const entry = this.#entries.get(request.writeId) ?? this.#newEntry(request.writeId);
    const lease = new WriteLease(request, this.#deps, {
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

  /** Deletes the expired writes without a holder. Resolves with their number. */
  async expire(): Promise<number> {
    const nowMs = this.#deps.clock.monotonicMs();
    let count = 0;
    for (const entry of [...this.#entries.values()]) {
      if (entry.holder !== null || entry.expiresAtMs > nowMs) continue;
      count += 1;
      this.#drop(entry); // A writer that resumes now starts from the beginning.
      await inTurn(entry, () => this.#discard(entry));
    }
    return count;
  }

  /**
   * Deletes all partial chunks. They cannot be found after a restart. No write may have a holder.
   */
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
      if (this.#deps.index.record(entry.state.chunkId) !== null) return;
      // It was purged or lost after the seal: its bytes are needed again.
      this.#sealed.delete(entry);
      entry.state = { kind: "gone" };
    }
    if (entry.state.kind === "gone") {
      entry.state = { kind: "open", partial: await createPartial(this.#deps, request) };
    }
  }

  async #seal(entry: Entry, sealing: SealRequest): Promise<void> {
    const { state } = entry;
    if (state.kind === "gone") throw takenOver();
    const { chunkId, lengthBytes } = sealing;
    if (state.kind === "sealed") {
      if (state.chunkId === chunkId && state.lengthBytes === lengthBytes) {
        await raiseIntent(this.#deps, sealing);
        return;
      }
      throw new AshlarError(
        "CHUNK_CORRUPT",
        `Cannot seal a write as chunk ${chunkId}: it is already sealed as ${state.chunkId}`,
      );
    }
    await state.partial.idle();
    await storePartial(this.#deps, state.partial, sealing);
    entry.state = { kind: "sealed", chunkId, lengthBytes };
    if (this.#entries.get(entry.writeId) !== entry) return; // It expired during the seal.
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
    if (entry.holder !== lease) return; // The write has a new holder, whose release counts.
    entry.holder = null;
    const isSealed = entry.state.kind === "sealed";
    entry.expiresAtMs =
      this.#deps.clock.monotonicMs() + (isSealed ? Math.min(keepMs, SEALED_KEPT_MS_MAX) : keepMs);
    if (entry.state.kind !== "open") return;
    const { partial } = entry.state;
    // The write has no bytes to resume from: the next sweep deletes it.
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
    await discardPartial(this.#deps, state.partial);
  }
}

/** Runs `task` after the previous tasks of the entry have ended, even if they failed. */
function inTurn(entry: Entry, task: () => Promise<void>): Promise<void> {
  const turn = entry.turn.then(task);
  entry.turn = turn.catch(() => {}); // The caller gets the error. The next task runs anyway.
  return turn;
}

function takenOver(): AshlarError {
  return new AshlarError("CANCELLED", "Cannot continue the write: another writer took it over");
}

/** Access of a lease to its entry. */
interface WriteLeaseDeps {
  readonly isHolder: () => boolean;
  readonly state: () => WriteState;
  readonly seal: (sealing: SealRequest) => Promise<void>;
  readonly onReleased: (keepMs: number) => void;
}

/**
 * The right to change a write. It ends with `release` or when another writer takes the write over.
 */
export class WriteLease {
  readonly #request: WriteRequest;
  readonly #deps: StoreDeps;
  readonly #entry: WriteLeaseDeps;
  /** Hashes of the sealed chunk. Read when a resumed writer sends its blocks again. */
  #sealedHashes: Uint8Array | null = null;

  constructor(request: WriteRequest, deps: StoreDeps, entry: WriteLeaseDeps) {
    this.#request = request;
    this.#deps = deps;
    this.#entry = entry;
  }

  /** Bytes that were verified and written, without a gap from the start. */
  get receivedBytes(): number {
    const state = this.#state();
    return state.kind === "sealed" ? state.lengthBytes : state.partial.receivedBytes;
  }

  /**
   * Writes blocks that the caller has verified against `hashes`. Resolves when the operating system
   * has accepted them (not durable). Blocks of a sealed write are compared and dropped.
   *
   * @throws {AshlarError} CANCELLED if another writer took the write over. See `OpenPartial.write`.
   */
  async write(offsetBytes: number, hashes: Uint8Array, bytes: Uint8Array): Promise<void> {
    const state = this.#state();
    if (state.kind === "open") {
      await state.partial.write(offsetBytes, hashes, bytes);
      return;
    }
    this.#sealedHashes ??= hashesOf(this.#deps, state.chunkId);
    const start = (offsetBytes / BLOCK_BYTES) * DIGEST_BYTES;
    const known = this.#sealedHashes.subarray(start, start + hashes.length);
    if (equalBytes(known, hashes)) return;
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot change blocks of a write that is sealed as chunk ${state.chunkId}`,
    );
  }

  /**
   * Seals the chunk. Its bytes, then its record, are durable when it resolves.
   *
   * @throws {AshlarError} CHUNK_CORRUPT if the blocks do not match `chunkId`; INVALID_ARGUMENT if
   *   not all of them were received; NO_SPACE; DISK_FAILED; CANCELLED.
   */
  async seal(chunkId: ChunkId, lengthBytes: number): Promise<void> {
    this.#state();
    const { intentIndex, lifetimeMs } = this.#request;
    await this.#entry.seal({ chunkId, lengthBytes, intentIndex, lifetimeMs });
  }

  /** Ends the lease. The received bytes are kept for the lifetime of the intent, for a resume. */
  release(): void {
    this.#entry.onReleased(this.#request.lifetimeMs);
  }

  /** Ends the lease without a resume: unsealed bytes are deleted by the next sweep. */
  abandon(): void {
    this.#entry.onReleased(0);
  }

  #state(): Exclude<WriteState, { kind: "gone" }> {
    const state = this.#entry.state();
    if (this.#entry.isHolder() && state.kind !== "gone") return state;
    throw takenOver();
  }
}
