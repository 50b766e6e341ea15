import { assert } from "../../shared/base/assert.ts";
import type { Branded } from "../../shared/base/brand.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { CHUNK_BYTES_MAX, type LogIndex } from "../../shared/base/ids.ts";

/**
 * Name of an extent file: "large-" (one chunk) or "packed-" (many), then a number of 12 hex digits.
 */
export type ExtentFileName = Branded<string, "ExtentFileName">;

/** "large": one chunk. "packed": many small chunks. */
export type ExtentFileKind = "large" | "packed";

/** A contiguous run of bytes in one extent file. */
export interface Extent {
  readonly file: ExtentFileName;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** The index entry of a sealed chunk, without its block hashes. */
export interface ChunkRecord {
  /** 1 byte to 64 MiB; the sum of the extents' lengths. Never changes. */
  readonly lengthBytes: number;
  /** The bytes of the chunk, in order. They are durable before the record is committed. */
  readonly extents: readonly Extent[];
  /**
   * Log index of the newest intent under which the chunk was written. A purge deletes the replica
   * only if its index is higher than this one, so this index never decreases.
   */
  readonly intentIndex: LogIndex;
  /**
   * Wall-clock time in milliseconds from which the master is asked whether a committed file
   * contains the chunk. 0 if the chunk is confirmed. The time decides only when the master is
   * asked. The answer decides whether the chunk is kept.
   */
  readonly confirmDueMs: number;
}

const FILE_NAME = /^(large|packed)-([0-9a-f]{12})$/;
const RECORD_VERSION = 1;
const HEAD_BYTES = 22;
const EXTENT_BYTES = 17;
const EXTENTS_MAX = 255;

/** Returns the name of an extent file. `number` is below 2^48. */
export function extentFileName(kind: ExtentFileKind, number: number): ExtentFileName {
  assert(Number.isSafeInteger(number) && number >= 0 && number < 2 ** 48, "a number has 48 bits");
  return `${kind}-${number.toString(16).padStart(12, "0")}` as ExtentFileName;
}

/** Returns the kind and the number in `name`, null if it is not the name of an extent file. */
export function parseExtentFileName(
  name: string,
): { readonly kind: ExtentFileKind; readonly number: number } | null {
  const match = FILE_NAME.exec(name);
  if (match === null) return null;
  return { kind: match[1] as ExtentFileKind, number: Number.parseInt(match[2] as string, 16) };
}

/** Returns whether the file contains many small chunks. */
export function isPacked(name: ExtentFileName): boolean {
  return name.startsWith("packed-");
}

/**
 * Encodes a chunk record as a value of the index. Integers are little-endian.
 *
 *     offset   size  field
 *          0      1  1, the version
 *          1      1  n, the number of extents: 1 to 255
 *          2      4  length of the chunk in bytes
 *          6      8  intent index
 *         14      8  when to ask the master, milliseconds since the Unix epoch; 0: confirmed
 *         22   17*n  extents: kind (1: 0 large, 1 packed), file number (8), offset (4), length (4)
 */
export function encodeChunkRecord(record: ChunkRecord): Uint8Array {
  assert(record.extents.length > 0 && record.extents.length <= EXTENTS_MAX, "1 to 255 extents");
  assert(sumOfExtents(record.extents) === record.lengthBytes, "the extents cover the chunk");
  const bytes = new Uint8Array(HEAD_BYTES + record.extents.length * EXTENT_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, RECORD_VERSION);
  view.setUint8(1, record.extents.length);
  view.setUint32(2, record.lengthBytes, true);
  view.setBigUint64(6, BigInt(record.intentIndex), true);
  view.setBigUint64(14, BigInt(record.confirmDueMs), true);
  for (const [position, extent] of record.extents.entries()) {
    const file = parseExtentFileName(extent.file);
    assert(file !== null, "a record refers to extent files");
    const offset = HEAD_BYTES + position * EXTENT_BYTES;
    view.setUint8(offset, file.kind === "packed" ? 1 : 0);
    view.setBigUint64(offset + 1, BigInt(file.number), true);
    view.setUint32(offset + 9, extent.offsetBytes, true);
    view.setUint32(offset + 13, extent.lengthBytes, true);
  }
  return bytes;
}

/** Decodes a chunk record. @throws {AshlarError} STORE_CORRUPT if `bytes` is not a record. */
export function decodeChunkRecord(bytes: Uint8Array): ChunkRecord {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const extentCount = bytes.length >= HEAD_BYTES ? view.getUint8(1) : 0;
  const isWhole = bytes.length === HEAD_BYTES + extentCount * EXTENT_BYTES;
  if (extentCount === 0 || !isWhole || view.getUint8(0) !== RECORD_VERSION) throw corruptRecord();
  const extents: Extent[] = [];
  for (let position = 0; position < extentCount; position += 1) {
    const offset = HEAD_BYTES + position * EXTENT_BYTES;
    const kind = view.getUint8(offset) === 1 ? "packed" : "large";
    extents.push({
      file: extentFileName(kind, Number(view.getBigUint64(offset + 1, true))),
      offsetBytes: view.getUint32(offset + 9, true),
      lengthBytes: view.getUint32(offset + 13, true),
    });
  }
  const lengthBytes = view.getUint32(2, true);
  if (lengthBytes === 0 || lengthBytes > CHUNK_BYTES_MAX) throw corruptRecord();
  if (sumOfExtents(extents) !== lengthBytes) throw corruptRecord();
  return {
    lengthBytes,
    extents,
    intentIndex: Number(view.getBigUint64(6, true)) as LogIndex,
    confirmDueMs: Number(view.getBigUint64(14, true)),
  };
}

function sumOfExtents(extents: readonly Extent[]): number {
  let sum = 0;
  for (const extent of extents) sum += extent.lengthBytes;
  return sum;
}

function corruptRecord(): AshlarError {
  return new AshlarError(
    "STORE_CORRUPT",
    "Cannot read a chunk record of the index: it is corrupt",
    {
      hint: "Move the data directory away and start with an empty one: the cluster makes new replicas",
    },
  );
}

/** Returns whether two records refer to the same extents. */
export function sameExtents(left: ChunkRecord, right: ChunkRecord): boolean {
  return (
    left.extents.length === right.extents.length &&
    left.extents.every((extent, position) => {
      const other = right.extents[position];
      return extent.file === other?.file && extent.offsetBytes === other.offsetBytes;
    })
  );
}
