import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES } from "../../shared/base/ids.ts";
import type { FileAttributes } from "../../shared/protocol/attributes.ts";
import type { Target } from "../../shared/protocol/namespace-api.ts";
import type { ClientDeps } from "../client-deps.ts";
import type { Deadline } from "../deadline.ts";
import type { ByteRange } from "../options.ts";
import type { Slab } from "../results.ts";
import { type ChunkLocation, ChunkMap, type FileView } from "./chunk-map.ts";
import { SegmentReader } from "./segment-reader.ts";
import { ZeroSegment } from "./zero-segment.ts";

/** Bytes per request to a chunkserver. A read has several pending requests. */
const SEGMENT_BYTES = 8 * 1024 * 1024;
/** Bytes per request while the read-ahead budget is nearly exhausted. */
const SEGMENT_BYTES_SMALL = 512 * 1024;
/** Reads into a buffer of at most this length use the cache of blocks. */
const CACHED_BYTES_MAX = 256 * 1024;
/** Default read-ahead of one read. */
const READ_AHEAD_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Chunks of at least this size are compared with the chunk of zeros, which is not requested. The id
 * of the chunk of zeros costs 50 µs once for each chunk size.
 */
const ZERO_CHUNK_BYTES_MIN = 1024 * 1024;

/** Parameters of a sequential read of a range. */
export interface RangeRead extends ByteRange {
  readonly deadline: Deadline;
  /** Default: 16 MiB. */
  readonly readAheadBytesMax?: number | undefined;
}

/** Reads one version of a file. Several reads may run at the same time. */
export class FileReader {
  readonly #deps: ClientDeps;
  readonly #map: ChunkMap;

  private constructor(deps: ClientDeps, map: ChunkMap) {
    this.#deps = deps;
    this.#map = map;
  }

  /** Opens a version of a file. @throws {AshlarError} NOT_FOUND, IS_A_DIRECTORY, INDEX_EXPIRED */
  static async open(
    deps: ClientDeps,
    target: Target,
    options: FileView & { readonly deadline: Deadline; readonly startBytes?: number },
  ): Promise<FileReader> {
    const { startBytes = 0 } = options;
    return new FileReader(deps, await ChunkMap.open(deps, target, { ...options, startBytes }));
  }

  /** Attributes of the version. */
  get attributes(): FileAttributes {
    return this.#map.attributes;
  }

  /** Locations of the chunks. */
  get map(): ChunkMap {
    return this.#map;
  }

  /**
   * Returns the range limited to the size of the file.
   *
   * @throws {AshlarError} INVALID_ARGUMENT unless 0 <= start <= end, both integers.
   */
  bounds(range: ByteRange): { readonly startBytes: number; readonly endBytes: number } {
    const { sizeBytes } = this.attributes;
    const { start = 0, end = sizeBytes } = range;
    const isRange = Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0;
    if (!isRange || end < start) {
      throw new AshlarError(
        "INVALID_ARGUMENT",
        `Cannot read a range: expected integers 0 <= start <= end: current values are ${start} and ${end}`,
      );
    }
    return { startBytes: Math.min(start, sizeBytes), endBytes: Math.min(end, sizeBytes) };
  }

  /**
   * Yields the verified bytes of the range in order. The consumer must release each slab.
   *
   * Following segments are requested while one is consumed. Ending the iteration cancels them.
   */
  async *slabs(plan: RangeRead): AsyncGenerator<Slab, void, void> {
    const { startBytes, endBytes } = this.bounds(plan);
    plan.deadline.check();
    if (startBytes === endBytes) return;
    const { inlineBytes } = this.#map;
    if (inlineBytes !== null) {
      const bytes = inlineBytes.subarray(startBytes, endBytes);
      yield { bytes, positionBytes: startBytes, release: () => {} };
      return;
    }
    const ahead = new SegmentQueue(this.#deps, this.#map, plan, { startBytes, endBytes });
    try {
      for (;;) {
        const slab = await ahead.next();
        if (slab === null) return;
        yield slab;
      }
    } finally {
      ahead.close();
    }
  }

  /**
   * Fills `target` from `position` on. Resolves with the number of bytes read, which is less than
   * `target.length` only at the end of the file.
   */
  async readInto(target: Uint8Array, position: number, deadline: Deadline): Promise<number> {
    const { startBytes, endBytes } = this.bounds({
      start: position,
      end: position + target.length,
    });
    const wanted = target.subarray(0, endBytes - startBytes);
    const isSmall = wanted.length <= CACHED_BYTES_MAX && this.#map.inlineBytes === null;
    let filledBytes = isSmall ? this.#copyCached(wanted, startBytes) : 0;
    if (filledBytes === wanted.length) {
      deadline.check();
      return filledBytes;
    }
    let at = startBytes + filledBytes;
    // Whole blocks are read in any case. They serve later reads of the same blocks.
    const whole = { start: at - (at % BLOCK_BYTES), end: nextBlock(endBytes) };
    const range = isSmall ? whole : { start: at, end: endBytes };
    for await (const slab of this.slabs({ ...range, deadline })) {
      const from = Math.max(at, slab.positionBytes);
      const to = Math.min(endBytes, slab.positionBytes + slab.bytes.length);
      const part = slab.bytes.subarray(from - slab.positionBytes, to - slab.positionBytes);
      wanted.set(part, filledBytes);
      filledBytes += part.length;
      at = to;
      if (isSmall) this.#cache(slab);
      slab.release();
    }
    return filledBytes;
  }

  /** Copies the blocks from the cache that begin at `position`. Returns the number of bytes. */
  #copyCached(target: Uint8Array, position: number): number {
    const { blockCache } = this.#deps;
    const { chunkSizeBytes } = this.attributes;
    let filledBytes = 0;
    while (filledBytes < target.length) {
      const at = position + filledBytes;
      const chunk = this.#map.knownChunkAt(Math.floor(at / chunkSizeBytes));
      if (chunk === null) return filledBytes;
      const block = Math.floor((at % chunkSizeBytes) / BLOCK_BYTES);
      const bytes = blockCache.get(chunk.chunkId, block)?.subarray(at % BLOCK_BYTES);
      if (bytes === undefined) return filledBytes;
      const part = bytes.subarray(0, target.length - filledBytes);
      target.set(part, filledBytes);
      filledBytes += part.length;
    }
    return filledBytes;
  }

  /** Keeps the blocks of a slab of whole blocks. */
  #cache({ bytes, positionBytes }: Slab): void {
    const { chunkSizeBytes } = this.attributes;
    for (let offset = 0; offset < bytes.length; offset += BLOCK_BYTES) {
      const at = positionBytes + offset;
      const chunk = this.#map.knownChunkAt(Math.floor(at / chunkSizeBytes));
      if (chunk === null) return;
      const block = Math.floor((at % chunkSizeBytes) / BLOCK_BYTES);
      this.#deps.blockCache.put(chunk.chunkId, block, bytes.subarray(offset, offset + BLOCK_BYTES));
    }
  }
}

/** Returns the end of the block that ends at or after `endBytes`. */
function nextBlock(endBytes: number): number {
  return Math.ceil(endBytes / BLOCK_BYTES) * BLOCK_BYTES;
}

/** A part of a chunk that is being read. */
type Segment = Pick<SegmentReader, "remainingBytes" | "next" | "cancel">;

/** The segments of one read: the one that is consumed and those requested ahead. */
class SegmentQueue {
  readonly #deps: ClientDeps;
  readonly #map: ChunkMap;
  readonly #deadline: Deadline;
  readonly #aheadBytesMax: number;
  readonly #endBytes: number;
  /** Open segments in file order. The first one is being consumed. */
  readonly #segments: Segment[] = [];
  /** Start of the next segment to request. */
  #plannedBytes: number;

  constructor(
    deps: ClientDeps,
    map: ChunkMap,
    plan: RangeRead,
    range: { readonly startBytes: number; readonly endBytes: number },
  ) {
    this.#deps = deps;
    this.#map = map;
    this.#deadline = plan.deadline;
    this.#aheadBytesMax = Math.max(plan.readAheadBytesMax ?? READ_AHEAD_BYTES_MAX, 1);
    this.#plannedBytes = range.startBytes;
    this.#endBytes = range.endBytes;
  }

  /** Returns the next slab, or null at the end of the range. */
  async next(): Promise<Slab | null> {
    for (;;) {
      await this.#fill();
      const [segment] = this.#segments;
      if (segment === undefined) return null;
      const slab = await segment.next();
      if (slab !== null) return this.#withBudget(slab);
      this.#segments.shift();
    }
  }

  /** Cancels all open segments. */
  close(): void {
    for (const segment of this.#segments) {
      this.#deps.readAheadBudget.release(segment.remainingBytes);
      segment.cancel();
    }
    this.#segments.length = 0;
  }

  /**
   * Returns a slab whose bytes count against the read-ahead budget until the consumer releases it.
   */
  #withBudget(slab: Slab): Slab {
    const { readAheadBudget } = this.#deps;
    const { bytes, positionBytes } = slab;
    let isReleased = false;
    return {
      bytes,
      positionBytes,
      release: () => {
        assert(!isReleased, "a slab is released once");
        isReleased = true;
        readAheadBudget.release(bytes.length);
        slab.release();
      },
    };
  }

  /** Requests segments up to the read-ahead limits, and at least one segment. */
  async #fill(): Promise<void> {
    while (this.#plannedBytes < this.#endBytes) {
      const isFirst = this.#segments.length === 0;
      const freeBytes = isFirst ? Number.MAX_VALUE : this.#roomBytes();
      if (freeBytes < SEGMENT_BYTES_SMALL) return;
      await this.#openSegment(isFirst);
    }
  }

  #roomBytes(): number {
    const aheadBytes = this.#segments.reduce((sum, segment) => sum + segment.remainingBytes, 0);
    const roomBytes = Math.min(
      this.#aheadBytesMax - aheadBytes,
      this.#deps.readAheadBudget.freeBytes,
    );
    // Waits for the room of a large segment instead of sending many small requests.
    return roomBytes < Math.min(SEGMENT_BYTES, this.#endBytes - this.#plannedBytes) ? 0 : roomBytes;
  }

  async #openSegment(isFirst: boolean): Promise<void> {
    const { chunkSizeBytes } = this.#map.attributes;
    const startBytes = this.#plannedBytes;
    const position = Math.floor(startBytes / chunkSizeBytes);
    const chunk = await this.#map.chunkAt(position, this.#deadline);
    const chunkStartBytes = position * chunkSizeBytes;
    const isTight = isFirst && this.#deps.readAheadBudget.freeBytes < SEGMENT_BYTES;
    const lengthMax = isTight ? SEGMENT_BYTES_SMALL : SEGMENT_BYTES;
    // Segments end at block boundaries, so no block is read twice.
    const alignedEnd = startBytes - (startBytes % BLOCK_BYTES) + lengthMax;
    const endBytes = Math.min(this.#endBytes, chunkStartBytes + chunk.lengthBytes, alignedEnd);
    const deps = this.#deps;
    const range = { startBytes, endBytes };
    const segment = this.#isZero(chunk)
      ? new ZeroSegment(deps.zeroBlocks, this.#deadline, range)
      : new SegmentReader({
          deps,
          deadline: this.#deadline,
          map: this.#map,
          chunk,
          chunkStartBytes,
          ...range,
        });
    this.#segments.push(segment);
    deps.readAheadBudget.acquire(segment.remainingBytes);
    this.#plannedBytes = endBytes;
  }

  /** Returns whether the id of the chunk proves that all its bytes are zero. */
  #isZero({ chunkId, lengthBytes }: ChunkLocation): boolean {
    if (lengthBytes < ZERO_CHUNK_BYTES_MIN) return false;
    return this.#deps.zeroBlocks.chunkId(lengthBytes) === chunkId;
  }
}
