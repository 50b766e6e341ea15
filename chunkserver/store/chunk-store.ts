import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import {
  CHUNK_BYTES_MAX,
  type ChunkId,
  type ClusterId,
  DIGEST_BYTES,
  type LogIndex,
  type ServerId,
} from "../../shared/base/ids.ts";
import { blockCount } from "../../shared/protocol/chunk-id.ts";
import { type BlockReader, ExtentReader } from "./chunk-reader.ts";
import { type Extent, isPacked } from "./chunk-record.ts";
import {
  applyVerdicts,
  deleteEmptyPackedFiles,
  deleteExtents,
  hashesOf,
  openCopy,
  purgeCopy,
  type Verdict,
} from "./copies.ts";
import { examineCopy, inspectCopies, type Pace } from "./examine.ts";
import { type DiskIdentity, writeIdentity } from "./identity.ts";
import { SCRUB_KEY } from "./index-keys.ts";
import { OpenPartial } from "./open-partial.ts";
import type { StoreParts } from "./parts.ts";
import { rewriteSparseFile } from "./rewrite.ts";
import { raiseIntent, sealPartial } from "./seal.ts";
import type { Tally } from "./tally.ts";
import {
  type Sealing,
  type WriteBackend,
  type WriteLease,
  type WriteRequest,
  Writes,
} from "./writes.ts";

/** Chunks up to this length share extent files. */
const SMALL_CHUNK_BYTES_MAX = 1024 * 1024;

/**
 * The chunks of one disk.
 *
 * Invariants: a record of the index names only bytes that were verified against the chunk's id and
 * synced before it was committed; bytes that a record names are never changed; bytes are deleted
 * only after the record that named them, durably.
 */
export class ChunkStore implements AsyncDisposable {
  readonly #parts: StoreParts;
  readonly #tally: Tally;
  readonly #writes: Writes;
  #identity: DiskIdentity;

  /** See `openChunkStore`. */
  constructor(parts: StoreParts, identity: DiskIdentity, tally: Tally) {
    this.#parts = parts;
    this.#identity = identity;
    this.#tally = tally;
    this.#writes = new Writes(writeBackend(parts), parts.clock);
  }

  get serverId(): ServerId {
    return this.#identity.serverId;
  }

  /** null until the server was registered for the first time. */
  get clusterId(): ClusterId | null {
    return this.#identity.clusterId;
  }

  get tally(): Tally {
    return this.#tally;
  }

  /** Writes that are not sealed. */
  get openWriteCount(): number {
    return this.#writes.openCount;
  }

  /** Why the disk takes no more writes; null: it does. */
  get failure(): unknown {
    return this.#parts.health.failure;
  }

  /** See `Reserve.isFull`. */
  get isFull(): boolean {
    return this.#parts.reserve.isFull;
  }

  get packedFileCount(): number {
    return this.#parts.packed.fileCount;
  }

  get packedDeadBytes(): number {
    return this.#parts.packed.deadBytes;
  }

  /** Binds the disk to a cluster for good. Durable when it resolves. */
  async joinCluster(clusterId: ClusterId): Promise<void> {
    const known = this.#identity.clusterId;
    assert(known === null || known === clusterId, "a disk belongs to one cluster");
    if (known !== null) return;
    this.#identity = { ...this.#identity, clusterId };
    await writeIdentity(this.#parts.disk, this.#identity);
  }

  /** Space for new chunks and space taken. A disk that failed has none. */
  async space(): Promise<{ totalBytes: number; availableBytes: number; usedBytes: number }> {
    const { totalBytes, availableBytes } = await this.#parts.reserve.space();
    return {
      totalBytes,
      availableBytes: this.failure === null ? availableBytes : 0,
      usedBytes: this.#tally.chunkBytes,
    };
  }

  // Writing ------------------------------------------------------------------------------------

  /** See `Writes.begin`. */
  begin(request: WriteRequest): Promise<WriteLease> {
    return this.#writes.begin(request);
  }

  /** Bytes of a write that are here; null if nothing is known of it. */
  receivedBytes(writeId: string): number | null {
    return this.#writes.receivedBytes(writeId);
  }

  /**
   * The first `lengthBytes` bytes of a write, sealed or not.
   *
   * @throws {AshlarError} CHUNK_NOT_FOUND if they are not here.
   */
  async openPartial(writeId: string, lengthBytes: number): Promise<BlockReader> {
    const state = this.#writes.state(writeId);
    if (state.kind === "sealed" && state.lengthBytes >= lengthBytes) {
      return this.openChunk(state.chunkId);
    }
    if (state.kind !== "open" || state.partial.receivedBytes < lengthBytes) {
      throw new AshlarError(
        "CHUNK_NOT_FOUND",
        `Cannot read ${lengthBytes} bytes of the write ${writeId}: they are not on this server`,
      );
    }
    const { room } = state.partial;
    const hashes = state.partial.hashes(lengthBytes);
    const extent: Extent = { file: room.file.name, offsetBytes: room.offsetBytes, lengthBytes };
    return new ExtentReader({
      extents: [extent],
      files: [await this.#parts.files.open(room.file.name)],
      readHashes: () => hashes,
      onDamaged: async () => {}, // It counts nowhere yet; the seal would have failed.
    });
  }

  /** Puts a chunk that is here under another intent. @throws {AshlarError} CHUNK_NOT_FOUND */
  raiseIntent(sealing: Sealing): Promise<void> {
    return raiseIntent(this.#parts, sealing);
  }

  /** Memory for the blocks of large chunks, where the disk likes it. */
  allocate(lengthBytes: number): Uint8Array {
    return this.#parts.disk.allocate(lengthBytes);
  }

  // Reading ------------------------------------------------------------------------------------

  has(chunkId: ChunkId): boolean {
    return this.#parts.index.record(chunkId) !== null;
  }

  /** Opens a chunk; the caller releases the reader. @throws {AshlarError} CHUNK_NOT_FOUND */
  async openChunk(chunkId: ChunkId): Promise<BlockReader> {
    const reader = await openCopy(this.#parts, chunkId);
    if (reader !== null) return reader;
    throw new AshlarError("CHUNK_NOT_FOUND", `Cannot find chunk ${chunkId} on this server`);
  }

  /** Length and block hashes. @throws {AshlarError} CHUNK_NOT_FOUND */
  manifest(chunkId: ChunkId): { readonly lengthBytes: number; readonly hashes: Uint8Array } {
    const hashes = hashesOf(this.#parts, chunkId);
    const lengthBytes = this.#parts.index.record(chunkId)?.lengthBytes ?? 0;
    assert(hashes.length === blockCount(lengthBytes) * DIGEST_BYTES, "a hash for every block");
    return { lengthBytes, hashes };
  }

  // What the master decides --------------------------------------------------------------------

  purge(chunkId: ChunkId, purgeIndex: LogIndex): Promise<"deleted" | "kept" | "absent"> {
    return purgeCopy(this.#parts, chunkId, purgeIndex);
  }

  /** Up to `limit` chunks whose intent is over and that no commit is known to name. */
  unconfirmed(limit: number): readonly { chunkId: ChunkId; intentIndex: LogIndex }[] {
    const due: { chunkId: ChunkId; intentIndex: LogIndex }[] = [];
    for (const chunkId of this.#parts.index.unconfirmedUntil(this.#nowMs(), limit)) {
      const record = this.#parts.index.record(chunkId);
      if (record !== null) due.push({ chunkId, intentIndex: record.intentIndex });
    }
    return due;
  }

  /** Undecided chunks are asked about again after `laterMs`. */
  applyVerdicts(verdicts: readonly Verdict[], laterMs: number): Promise<void> {
    return applyVerdicts(this.#parts, verdicts, this.#nowMs() + laterMs);
  }

  /** Up to `limit` copies that no longer count, until `forgetLost`. */
  lost(limit: number): readonly { readonly chunkId: ChunkId; readonly reason: string }[] {
    return this.#parts.index.lost(limit);
  }

  /** The master has heard of these. */
  async forgetLost(chunkIds: readonly ChunkId[]): Promise<void> {
    if (chunkIds.length === 0) return;
    await this.#parts.index.change((operation) => {
      for (const chunkId of chunkIds) operation.forgetLost(chunkId);
    });
  }

  // Upkeep -------------------------------------------------------------------------------------

  /** See `examineCopy`. */
  examine(
    chunkId: ChunkId,
    buffer: Uint8Array,
    pace?: Pace,
  ): Promise<"sound" | "rotten" | "absent"> {
    return examineCopy(this.#parts, chunkId, buffer, pace);
  }

  /** See `inspectCopies`. */
  inspect(after: ChunkId | null, limit: number): Promise<ChunkId | null> {
    return inspectCopies(this.#parts, after, limit);
  }

  /** Up to `limit` chunk ids after `after`, in order. */
  chunkIdsAfter(after: ChunkId | null, limit: number): readonly ChunkId[] {
    return this.#parts.index.recordsAfter(after, limit).map(({ chunkId }) => chunkId);
  }

  /** The last chunk that the scrub proved; null: it is at the beginning. */
  scrubPosition(): ChunkId | null {
    const value = this.#parts.index.get(SCRUB_KEY);
    return value === null || value.length === 0
      ? null
      : (new TextDecoder().decode(value) as ChunkId);
  }

  async setScrubPosition(position: ChunkId | null): Promise<void> {
    const value = new TextEncoder().encode(position ?? "");
    await this.#parts.index.change((operation) => operation.set(SCRUB_KEY, value));
  }

  /**
   * Deletes what has expired (partial chunks, garbage, quarantine) and makes a step of the rewriting
   * of packed files. Resolves with "more" if there is more to do at once.
   */
  async sweep(): Promise<"done" | "more"> {
    const { quarantine, garbage, reserve } = this.#parts;
    await this.#writes.expire();
    const { availableBytes } = await reserve.space();
    const pressure = availableBytes === 0 ? "pressed" : "relaxed";
    await garbage.sweep(pressure);
    await quarantine.sweep(pressure);
    await deleteEmptyPackedFiles(this.#parts);
    if (this.failure !== null) return "done";
    return (await rewriteSparseFile(this.#parts)) > 0 ? "more" : "done";
  }

  /** Closes the disk. Nothing may be under way. Partial chunks are deleted. */
  async [Symbol.asyncDispose](): Promise<void> {
    // What cannot be deleted now is moved away at the next start.
    await this.#writes.close().catch((error) => warnUndeleted(this.#parts, error));
    await this.#parts.index.close();
    await this.#parts.files.close();
  }

  #nowMs(): number {
    return this.#parts.clock.wallMs();
  }
}

function writeBackend(parts: StoreParts): WriteBackend {
  return {
    makePartial: (request) => makePartial(parts, request),
    discardPartial: (partial) => discardPartial(parts, partial),
    sealPartial: async (partial, sealing) => {
      const outcome = await sealPartial(parts, partial, sealing);
      partial.release();
      if (outcome === "stored") releaseRoom(parts, partial);
      // The chunk is durable whether its second copy can be deleted or not; a restart moves it away.
      else await discardPartial(parts, partial).catch((error) => warnUndeleted(parts, error));
    },
    raiseIntent: (sealing) => raiseIntent(parts, sealing),
    isHere: (chunkId) => parts.index.record(chunkId) !== null,
    hashes: (chunkId) => hashesOf(parts, chunkId),
  };
}

async function makePartial(parts: StoreParts, request: WriteRequest): Promise<OpenPartial> {
  parts.health.requireWritable();
  const { sizeHintBytes, purpose } = request;
  const capacityBytes = sizeHintBytes ?? CHUNK_BYTES_MAX;
  if (capacityBytes <= 0 || capacityBytes > CHUNK_BYTES_MAX) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot write a chunk of ${capacityBytes} bytes: expected 1 to ${CHUNK_BYTES_MAX}`,
    );
  }
  const claim = await parts.reserve.claim(capacityBytes, purpose);
  try {
    if (capacityBytes <= SMALL_CHUNK_BYTES_MAX) {
      const room = await parts.packed.take(capacityBytes);
      return new OpenPartial({ ...room, capacityBytes }, claim);
    }
    const file = await parts.files.create("large");
    return new OpenPartial({ file, offsetBytes: 0, capacityBytes }, claim);
  } catch (error) {
    claim.release();
    throw error;
  }
}

/** Deletes the bytes of a partial chunk: a file of its own, or a hole in a packed file. */
async function discardPartial(parts: StoreParts, partial: OpenPartial): Promise<void> {
  const extent: Extent = {
    file: partial.room.file.name,
    offsetBytes: partial.room.offsetBytes,
    lengthBytes: 0,
  };
  releaseRoom(parts, partial);
  await deleteExtents(parts, [extent]);
}

function releaseRoom(parts: StoreParts, partial: OpenPartial): void {
  const { name } = partial.room.file;
  if (isPacked(name)) parts.packed.release(name);
}

function warnUndeleted(parts: StoreParts, error: unknown): void {
  parts.log.warn("Cannot delete bytes that no chunk needs: the next start will", { error });
}
