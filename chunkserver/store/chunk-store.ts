import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import {
  type ChunkId,
  type ClusterId,
  DIGEST_BYTES,
  type LogIndex,
  type ServerId,
} from "../../shared/base/ids.ts";
import type { DiskSpace } from "../../shared/ports/disk.ts";
import { blockCount } from "../../shared/protocol/chunk-id.ts";
import { type BlockReader, ExtentReader } from "./chunk-reader.ts";
import type { Extent } from "./chunk-record.ts";
import type { ChunkTotals } from "./chunk-totals.ts";
import {
  type ComparedPage,
  type CopiesPage,
  compareCopies,
  noteMissing,
  type RecordedCopy,
} from "./compare-copies.ts";
import { confirmAgain, noteRestore } from "./confirm-again.ts";
import { type DiskIdentity, writeIdentity } from "./identity.ts";
import { SCRUB_KEY } from "./index-keys.ts";
import type { LossAnswer, LossReport } from "./loss-reports.ts";
import { MissedChunks } from "./missed-chunks.ts";
import { warnUndeleted } from "./partials.ts";
import { putMany, type VerifiedGroup } from "./put-many.ts";
import {
  applyConfirmations,
  type ChunkConfirmation,
  deleteEmptyPackedFiles,
  hashesOf,
  openReplica,
  purgeReplica,
} from "./replicas.ts";
import { rewriteSparseFile } from "./rewrite.ts";
import { raiseIntent, type SealRequest, type StoringIntent } from "./seal.ts";
import type { StoreDeps } from "./store-deps.ts";
import { answerUnreadable, reportUnreadable } from "./unreadable.ts";
import type { UnreadableCopy } from "./unreadable-copies.ts";
import { checkExtentFiles, type Pace, type ReplicaState, verifyReplica } from "./verify-replica.ts";
import { type WriteLease, type WriteRequest, Writes } from "./writes.ts";

/**
 * The chunks of one disk.
 *
 * Invariants: a record of the index refers only to bytes that were verified against the chunk's id
 * and synced before the commit of the record. Bytes with a record never change. Bytes are deleted
 * only after the removal of their record is durable.
 */
export class ChunkStore implements AsyncDisposable {
  readonly #deps: StoreDeps;
  readonly #totals: ChunkTotals;
  readonly #writes: Writes;
  readonly #missed = new MissedChunks();
  #identity: DiskIdentity;

  /** Used by `openChunkStore`. */
  constructor(deps: StoreDeps, identity: DiskIdentity, totals: ChunkTotals) {
    this.#deps = deps;
    this.#identity = identity;
    this.#totals = totals;
    this.#writes = new Writes(deps);
  }

  get serverId(): ServerId {
    return this.#identity.serverId;
  }

  /** Cluster of the disk. Null until the first registration. */
  get clusterId(): ClusterId | null {
    return this.#identity.clusterId;
  }

  /** Number and bytes of the chunks in the index. */
  get totals(): ChunkTotals {
    return this.#totals;
  }

  /** Number of writes that are not sealed. */
  get openWriteCount(): number {
    return this.#writes.openCount;
  }

  /** Reason why the disk accepts no writes. Null while it accepts writes. */
  get failure(): unknown {
    return this.#deps.health.failure;
  }

  /** Records that a write of another file in the data directory was refused with `error`. */
  noteWriteFailure(error: unknown): void {
    this.#deps.health.noteWriteFailure(error);
  }

  /** Whether the disk is full: see `Reserve.isFull`. */
  get isFull(): boolean {
    return this.#deps.reserve.isFull;
  }

  get packedFileCount(): number {
    return this.#deps.packed.fileCount;
  }

  get packedDeadBytes(): number {
    return this.#deps.packed.deadBytes;
  }

  /** Assigns the disk to a cluster permanently. Durable when it resolves. */
  async joinCluster(clusterId: ClusterId): Promise<void> {
    const known = this.#identity.clusterId;
    assert(known === null || known === clusterId, "a disk belongs to one cluster");
    if (known !== null) return;
    const joined = { ...this.#identity, clusterId };
    try {
      await writeIdentity(this.#deps.disk, joined);
    } catch (error) {
      this.noteWriteFailure(error);
      throw error;
    }
    this.#identity = joined; // Only now: a failed write is tried again.
  }

  /** Returns the space for new chunks and the used space. A failed disk has no available bytes. */
  async space(): Promise<DiskSpace & { readonly usedBytes: number }> {
    const { availableBytes, ...disk } = await this.#deps.reserve.space();
    return {
      ...disk,
      availableBytes: this.failure === null ? availableBytes : 0,
      usedBytes: this.#totals.chunkBytes,
    };
  }

  // Writing ------------------------------------------------------------------------------------

  /** Begins or resumes a write: see `Writes.begin`. */
  begin(request: WriteRequest): Promise<WriteLease> {
    return this.#writes.begin(request);
  }

  /** Returns the received bytes of a write. Null if the write is not known here. */
  receivedBytes(writeId: string): number | null {
    return this.#writes.receivedBytes(writeId);
  }

  /**
   * Opens the first `lengthBytes` bytes of a write for reading, sealed or not.
   *
   * @throws {AshlarError} CHUNK_NOT_FOUND if this server has fewer bytes of the write.
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
    const { allocation } = state.partial;
    const hashes = state.partial.hashes(lengthBytes);
    const extent: Extent = {
      file: allocation.file.name,
      offsetBytes: allocation.offsetBytes,
      lengthBytes,
    };
    return new ExtentReader({
      extents: [extent],
      files: [await this.#deps.files.open(allocation.file.name)],
      readHashes: () => hashes,
      onDamaged: async () => {}, // No record refers to these bytes. Their seal would fail.
      onUnreadable: ({ file, offsetBytes, error }) =>
        this.#deps.health.noteReadFailure(file, offsetBytes, error),
    });
  }

  /** Stores a group of small chunks. All are durable when it resolves: see `putMany`. */
  putMany(group: VerifiedGroup, intent: StoringIntent): Promise<void> {
    return putMany(this.#deps, group, intent);
  }

  /** Raises the intent index of an existing chunk. @throws {AshlarError} CHUNK_NOT_FOUND */
  raiseIntent(request: SealRequest): Promise<void> {
    return raiseIntent(this.#deps, request);
  }

  /** Allocates memory for the blocks of large chunks, aligned as the disk requires it. */
  allocateBuffer(lengthBytes: number): Uint8Array {
    return this.#deps.disk.allocate(lengthBytes);
  }

  // Reading ------------------------------------------------------------------------------------

  /** Returns whether the index has a record of the chunk. */
  has(chunkId: ChunkId): boolean {
    return this.#deps.index.record(chunkId) !== null;
  }

  /** Opens a chunk. The caller releases the reader. @throws {AshlarError} CHUNK_NOT_FOUND */
  async openChunk(chunkId: ChunkId): Promise<BlockReader> {
    const reader = await openReplica(this.#deps, chunkId);
    if (reader !== null) return reader;
    this.#missed.add(chunkId);
    throw new AshlarError("CHUNK_NOT_FOUND", `Cannot find chunk ${chunkId} on this server`);
  }

  /** Returns the length and the block hashes. @throws {AshlarError} CHUNK_NOT_FOUND */
  manifest(chunkId: ChunkId): { readonly lengthBytes: number; readonly hashes: Uint8Array } {
    const record = this.#deps.index.record(chunkId);
    if (record === null) this.#missed.add(chunkId);
    const hashes = hashesOf(this.#deps, chunkId);
    const lengthBytes = record?.lengthBytes ?? 0;
    assert(hashes.length === blockCount(lengthBytes) * DIGEST_BYTES, "each block has a hash");
    return { lengthBytes, hashes };
  }

  // Decisions of the master ---------------------------------------------------------------------

  /** Deletes a replica if its intent allows that: see `purgeReplica`. */
  purge(chunkId: ChunkId, purgeIndex: LogIndex): Promise<"deleted" | "kept" | "absent"> {
    return purgeReplica(this.#deps, chunkId, purgeIndex);
  }

  /** Notes the masters with which this server registers: see `noteRestore`. */
  noteRestore(restoreId: Uint8Array): Promise<void> {
    return noteRestore(this.#deps, restoreId);
  }

  /** Makes confirmed chunks due again after a restore of the masters or an update: see `confirmAgain`. */
  confirmAgain(restoreId: Uint8Array, limit: number): Promise<number> {
    return confirmAgain(this.#deps, { restoreId, limit });
  }

  /** Returns up to `limit` chunks whose intent has expired and that are not confirmed. */
  unconfirmed(limit: number): readonly { chunkId: ChunkId; intentIndex: LogIndex }[] {
    const due: { chunkId: ChunkId; intentIndex: LogIndex }[] = [];
    for (const chunkId of this.#deps.index.unconfirmedUntil(this.#nowMs(), limit)) {
      const record = this.#deps.index.record(chunkId);
      if (record !== null) due.push({ chunkId, intentIndex: record.intentIndex });
    }
    return due;
  }

  /**
   * Keeps or deletes chunks as the master has decided: see `applyConfirmations`. The master is
   * asked again about undecided chunks after `retryMs`.
   */
  applyConfirmations(confirmations: readonly ChunkConfirmation[], retryMs: number): Promise<void> {
    return applyConfirmations(this.#deps, confirmations, this.#nowMs() + retryMs);
  }

  /** Compares the copies that the masters record with the index: see `compareCopies`. */
  compareCopies(page: CopiesPage): Promise<ComparedPage> {
    return compareCopies(this.#deps, page);
  }

  /** Notes the loss of recorded copies without a record in the index: see `noteMissing`. */
  noteMissing(copies: readonly RecordedCopy[]): Promise<readonly ChunkId[]> {
    return noteMissing(this.#deps, copies);
  }

  /** Returns chunks that were requested and that this server does not have, and forgets them. */
  takeMissed(): readonly ChunkId[] {
    return this.#missed.take();
  }

  /** Returns up to `limit` losses for a report to the master: see `LossReports`. */
  lossReport(limit: number): LossReport {
    return this.#deps.losses.next(limit);
  }

  /** Removes the losses that are final, after the master has answered their report. */
  async answerLosses(report: LossReport, answer: LossAnswer): Promise<void> {
    // The heartbeats must not wait for a commit on a disk that may hang. The losses are reported again.
    if (this.failure === null) await this.#deps.losses.answered(report, answer);
  }

  /** Number of chunks whose bytes the disk could not read at their last read. */
  get unreadableCount(): number {
    return this.#deps.unreadable.count;
  }

  /** Returns up to `limit` copies that the disk cannot read, for a report: see `reportUnreadable`. */
  unreadableReport(limit: number): readonly UnreadableCopy[] {
    return reportUnreadable(this.#deps, limit);
  }

  /** Makes the chunks of an answered report due for confirmation: see `answerUnreadable`. */
  answerUnreadable(report: readonly UnreadableCopy[]): Promise<void> {
    return answerUnreadable(this.#deps, report);
  }

  // Upkeep -------------------------------------------------------------------------------------

  /** Verifies the bytes of a replica: see `verifyReplica`. */
  async verify(chunkId: ChunkId, buffer: Uint8Array, pace?: Pace): Promise<ReplicaState> {
    const result = await verifyReplica(this.#deps, chunkId, buffer, pace);
    if (result === "absent") this.#missed.add(chunkId);
    return result;
  }

  /** Checks that the extent files of some chunks exist: see `checkExtentFiles`. */
  checkExtentFiles(after: ChunkId | null, limit: number): Promise<ChunkId | null> {
    return checkExtentFiles(this.#deps, after, limit);
  }

  /** Returns up to `limit` chunk ids after `after`, in order. */
  chunkIdsAfter(after: ChunkId | null, limit: number): readonly ChunkId[] {
    return this.#deps.index.recordsAfter(after, limit).map(({ chunkId }) => chunkId);
  }

  /** Returns the last chunk that the scrub verified. Null if the scrub is at the start. */
  scrubPosition(): ChunkId | null {
    const value = this.#deps.index.get(SCRUB_KEY);
    return value === null || value.length === 0
      ? null
      : (new TextDecoder().decode(value) as ChunkId);
  }

  /** Stores the last chunk that the scrub verified. Durable when it resolves. */
  async setScrubPosition(position: ChunkId | null): Promise<void> {
    const value = new TextEncoder().encode(position ?? "");
    await this.#deps.index.change((operation) => operation.set(SCRUB_KEY, value));
  }

  /**
   * Deletes expired data (partial chunks, garbage, quarantine) and moves some chunks out of a
   * packed file with little live data. Resolves with "more" if there is more to do now.
   */
  async sweep(): Promise<"done" | "more"> {
    const { quarantine, garbage, reserve } = this.#deps;
    await this.#writes.expire();
    const { availableBytes } = await reserve.space();
    const mode = availableBytes === 0 ? "all" : "expired";
    await garbage.sweep(mode);
    await quarantine.sweep(mode);
    await deleteEmptyPackedFiles(this.#deps);
    if (this.failure !== null) return "done";
    return (await rewriteSparseFile(this.#deps)) > 0 ? "more" : "done";
  }

  /** Deletes the partial chunks and closes the disk. No call may be in progress. */
  async [Symbol.asyncDispose](): Promise<void> {
    // Files that cannot be deleted now are moved to garbage/ at the next start.
    await this.#writes.close().catch((error) => warnUndeleted(this.#deps, error));
    await this.#deps.index.close();
    await this.#deps.files.close();
  }

  #nowMs(): number {
    return this.#deps.clock.wallMs();
  }
}
