import { assert, present } from "../../shared/base/assert.ts";
import {
  CHUNK_BYTES_MAX,
  CHUNK_BYTES_MIN,
  type ChunkId,
  type Digest,
  type LogIndex,
} from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import { chunkDigestOf, contentRootOf, hashBlocks } from "../../shared/protocol/chunk-id.ts";
import { chunkIdBytes } from "../../shared/protocol/intent.ts";
import { CONTENT_CHUNKS_MAX, INLINE_BYTES_MAX } from "../../shared/protocol/namespace-api.ts";
import type { Change } from "./change.ts";
import { addKnownReference, addReference, checkChunk } from "./chunks.ts";
import type { VerifiedChunk, VerifiedContent } from "./command.ts";
import {
  type ContentId,
  contentKey,
  historyKey,
  historyPrefix,
  keyOfHistory,
  positionKey,
  positionPrefix,
  prefixEnd,
  supersededIndexOf,
  u64,
} from "./keys.ts";
import { RECLAIM_KIND } from "./reclaim-queue.ts";
import type { FileContent, FileInode, PositionRecord } from "./records.ts";
import { refusal } from "./refusal.ts";
import type { TreeView } from "./state.ts";
import { CONTENTS, POSITIONS } from "./tables.ts";
import { HISTORY } from "./tree-tables.ts";

/** The fields of a file's record that describe its content. */
export interface ContentFields {
  readonly sizeBytes: number;
  readonly chunkSizeBytes: number;
  readonly contentRoot: Uint8Array;
  readonly content: FileContent;
}

/** The numbers of copies that the chunks of a file need. */
export interface CopyCounts {
  /** The number of copies that repair restores. */
  readonly copiesWanted: number;
  /** Sealed copies that a commit of a new chunk needs. */
  readonly copiesMin: number;
}

/** Bound of the positions in one CHUNKS_MISSING refusal. The client uploads them and retries. */
const MISSING_LISTED_MAX = 1_000;

// Inline content -----------------------------------------------------------------------------

/** @throws {Refusal} TOO_LARGE */
function checkInline(change: Change, bytes: Uint8Array): void {
  const allowed = present(change.clusterFacts, "the cluster is bootstrapped").inlineBytesMax;
  const bytesMax = Math.min(allowed, INLINE_BYTES_MAX);
  if (bytes.length <= bytesMax) return;
  const facts = { bytes: bytes.length, max: bytesMax };
  throw refusal("inline-size", facts, { inlineBytesMax: bytesMax });
}

/**
 * Returns the fields of a file whose bytes are in its inode. For the content root, the bytes count
 * as one chunk; an empty file has no chunk.
 */
export function inlineFields(
  change: Change,
  bytes: Uint8Array,
  chunkSizeBytes: number = CHUNK_BYTES_MAX,
): ContentFields {
  const { hasher } = change;
  const sizeBytes = bytes.length;
  if (sizeBytes === 0 && chunkSizeBytes === CHUNK_BYTES_MAX) return emptyFields(change);
  const ids = sizeBytes === 0 ? [] : [chunkDigestOf(hasher, sizeBytes, hashBlocks(hasher, bytes))];
  const contentRoot = contentRootOf(hasher, { sizeBytes, chunkSizeBytes }, ids);
  // The bytes are copied: those of a decoded command are a view of the log's memory.
  return {
    sizeBytes,
    chunkSizeBytes,
    contentRoot,
    content: { kind: "inline", bytes: new Uint8Array(bytes) },
  };
}

/** The content of every empty file, one shared object: most files start empty. */
const NO_CONTENT = { kind: "inline", bytes: new Uint8Array() } as const;

/** Returns the fields of an empty file of the default chunk size. */
export function emptyFields({ emptyRoot: contentRoot }: Change): ContentFields {
  return { sizeBytes: 0, chunkSizeBytes: CHUNK_BYTES_MAX, contentRoot, content: NO_CONTENT };
}

/** Computes `contentRoot` of an empty file of the default chunk size. */
export function emptyRootOf(hasher: Hasher): Digest {
  return contentRootOf(hasher, { sizeBytes: 0, chunkSizeBytes: CHUNK_BYTES_MAX }, []);
}

// Content in chunks --------------------------------------------------------------------------

/**
 * Returns the number of chunks of a file of `sizeBytes`.
 *
 * @throws {Refusal} INVALID_ARGUMENT for a chunk size that is not a power of two in range;
 *   TOO_LARGE
 */
export function chunkCountOf(sizeBytes: number, chunkSizeBytes: number): number {
  const isPower = Number.isInteger(Math.log2(chunkSizeBytes));
  if (!isPower || chunkSizeBytes < CHUNK_BYTES_MIN || chunkSizeBytes > CHUNK_BYTES_MAX) {
    throw refusal("chunk-size", { chunkSizeBytes, min: CHUNK_BYTES_MIN, max: CHUNK_BYTES_MAX });
  }
  const count = Math.ceil(sizeBytes / chunkSizeBytes);
  if (count <= CONTENT_CHUNKS_MAX) return count;
  throw refusal("file-size", { sizeBytes, chunkSizeBytes, max: CONTENT_CHUNKS_MAX });
}

/**
 * Checks the length of the chunk at `position`. The last chunk has the rest of the file; every
 * other chunk is full.
 *
 * @throws {Refusal} INVALID_ARGUMENT
 */
export function checkLength(
  file: { readonly sizeBytes: number; readonly chunkSizeBytes: number },
  position: number,
  lengthBytes: number,
): void {
  const { sizeBytes, chunkSizeBytes } = file;
  const expectedBytes = Math.min(chunkSizeBytes, sizeBytes - position * chunkSizeBytes);
  if (lengthBytes === expectedBytes) return;
  const facts = { sizeBytes, position, expected: expectedBytes, actual: lengthBytes };
  throw refusal("position-length", facts, { position });
}

/**
 * Checks the chunks of a commit, each with its position. Changes nothing.
 *
 * @throws {Refusal} CHUNKS_MISSING with `details.missing`, the positions that the client must
 *   upload; INTENT_EXPIRED, TOO_FEW_CHUNKSERVERS, INVALID_ARGUMENT
 */
export function checkChunks(
  change: Change,
  chunks: Iterable<{ readonly position: number; readonly chunk: VerifiedChunk }>,
  { copiesMin }: CopyCounts,
): void {
  const uploaded = new Set<ChunkId>();
  const missing: number[] = [];
  for (const { position, chunk } of chunks) {
    const isUploaded = uploaded.has(chunk.id);
    const isPresent = checkChunk(change, chunk, { copiesMin, isUploaded });
    if (isPresent && chunk.replicas.length > 0) uploaded.add(chunk.id);
    if (!isPresent) missing.push(position);
  }
  if (missing.length === 0) return;
  throw refusal(
    "chunks-unknown",
    { count: missing.length },
    { missing: missing.slice(0, MISSING_LISTED_MAX), missingCount: missing.length },
  );
}

/**
 * Checks a whole new content. Changes nothing.
 *
 * @throws {Refusal} the errors of `checkChunks`; TOO_LARGE
 */
export function checkContent(change: Change, content: VerifiedContent, copies: CopyCounts): void {
  if (content.kind === "inline") {
    checkInline(change, content.bytes);
    return;
  }
  const { sizeBytes, chunkSizeBytes, chunks } = content;
  const count = chunkCountOf(sizeBytes, chunkSizeBytes);
  if (chunks.length !== count) {
    const compared = { expected: count, actual: chunks.length };
    throw refusal("chunk-count", { sizeBytes, chunkSizeBytes, ...compared });
  }
  for (const [position, chunk] of chunks.entries()) {
    checkLength(content, position, chunk.lengthBytes);
  }
  const placed = chunks.map((chunk, position) => ({ position, chunk }));
  checkChunks(change, placed, copies);
}

/** Makes a new content. `checkContent` must have accepted `content`. */
export function makeContent(
  change: Change,
  content: VerifiedContent,
  { copiesWanted }: CopyCounts,
): ContentFields {
  if (content.kind === "inline") return inlineFields(change, content.bytes);
  const { sizeBytes, chunkSizeBytes, chunks } = content;
  if (chunks.length === 0) return inlineFields(change, new Uint8Array(), chunkSizeBytes);
  const contentId = newContent(change);
  for (const [position, chunk] of chunks.entries()) {
    const { id: chunkId, lengthBytes } = chunk;
    change.putNewPosition(contentId, position, { chunkId, lengthBytes, version: change.index });
    addReference(change, chunk, copiesWanted);
  }
  const ids = chunks.map((chunk) => chunk.id);
  return chunkFields(change, { sizeBytes, chunkSizeBytes, contentId }, ids);
}

/**
 * Returns the content that a file had at the index `at`. It is shared if its positions have not changed
 * since then. Else the history still references the chunks of that time, and a new content gets them.
 *
 * @throws {Refusal} TOO_LARGE if this entry would restore more chunks than the largest file has
 */
export function contentOfPast(
  change: Change,
  past: { readonly view: TreeView; readonly at: LogIndex },
  file: FileInode,
): ContentFields {
  const { sizeBytes, chunkSizeBytes, contentRoot, content, copiesWanted } = file;
  if (content.kind === "inline") return { sizeBytes, chunkSizeBytes, contentRoot, content };
  const { chunkCount } = content;
  if (change.isLongWorkDivided && isUnchangedSince(change, content, past.at)) {
    shareContent(change, content);
    return { sizeBytes, chunkSizeBytes, contentRoot, content };
  }
  if (change.addRestoredChunks(chunkCount) > CONTENT_CHUNKS_MAX) {
    throw refusal("restore-size", { chunkCount, max: CONTENT_CHUNKS_MAX });
  }
  const contentId = newContent(change);
  for (let position = 0; position < chunkCount; position += 1) {
    const old = present(
      past.view.position(content.contentId, position),
      "a content has all positions",
    );
    change.putNewPosition(contentId, position, { ...old, version: change.index });
    addKnownReference(change, old.chunkId, copiesWanted);
  }
  return { sizeBytes, chunkSizeBytes, contentRoot, content: { ...content, contentId } };
}

/**
 * Returns whether a content of the past has the same positions as at the readable index `at`. The
 * history has every position that was replaced or deleted since then.
 *
 * Reads at most one row of the history for each position, however often the position was replaced: the
 * rest of its versions is skipped. So the search costs less than a copy of the content.
 */
function isUnchangedSince(
  change: Change,
  { contentId, chunkCount }: Extract<FileContent, { kind: "chunks" }>,
  at: LogIndex,
): boolean {
  if (change.position(contentId, chunkCount) !== undefined) return false;
  let start = historyPrefix(positionPrefix(contentId));
  const end = historyPrefix(positionKey(contentId, chunkCount));
  for (;;) {
    const [row] = change.rows(HISTORY, { start, end }, 1);
    if (row === undefined) return true;
    if (supersededIndexOf(row.key) > at) return false;
    start = historyKey(keyOfHistory(row.key), (at + 1) as LogIndex);
  }
}

/** Returns the fields of a file whose content has these chunks, in the order of their positions. */
export function chunkFields(
  change: Change,
  file: {
    readonly sizeBytes: number;
    readonly chunkSizeBytes: number;
    readonly contentId: ContentId;
  },
  ids: readonly ChunkId[],
): ContentFields {
  const { sizeBytes, chunkSizeBytes, contentId } = file;
  const contentRoot = contentRootOf(change.hasher, file, ids.map(chunkIdBytes));
  const content = { kind: "chunks", contentId, chunkCount: ids.length } as const;
  return { sizeBytes, chunkSizeBytes, contentRoot, content };
}

/** Allocates a content with one reference. The caller writes the inode that refers to it. */
export function newContent(change: Change): ContentId {
  const id = change.totals.nextContent;
  change.updateTotals({ nextContent: (id + 1) as ContentId });
  change.putUnversioned(CONTENTS, contentKey(id), { referenceCount: 1 });
  return id;
}

/** Adds the reference of one more inode to the content. */
export function shareContent(change: Change, content: FileContent): void {
  if (content.kind === "inline") return;
  const { referenceCount } = change.content(content.contentId);
  assert(referenceCount > 0, "the content of an inode has a reference");
  change.putUnversioned(CONTENTS, contentKey(content.contentId), {
    referenceCount: referenceCount + 1,
  });
}

/**
 * Releases the content of an inode. Reads of the past still show the content, so `reclaim` drops
 * the reference later.
 */
export function releaseContent(change: Change, content: FileContent): void {
  if (content.kind === "chunks") {
    change.queueReclaim(RECLAIM_KIND.content, u64(content.contentId));
  }
}

/** Returns the positions of a content, in order. */
export function positionsOf(change: Change, content: FileContent): readonly PositionRecord[] {
  if (content.kind === "inline") return [];
  const start = positionPrefix(content.contentId);
  const rows = change.rows(POSITIONS, { start, end: prefixEnd(start) }, CONTENT_CHUNKS_MAX);
  assert(rows.length === content.chunkCount, "a content has one position for each chunk");
  return rows.map((row) => row.value);
}
