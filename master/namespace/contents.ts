import { assert, present } from "../../shared/base/assert.ts";
import {
  CHUNK_BYTES_MAX,
  CHUNK_BYTES_MIN,
  type ChunkId,
  type Digest,
} from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import { chunkIdOf, contentRootOf, hashBlocks } from "../../shared/protocol/chunk-id.ts";
import { chunkIdBytes } from "../../shared/protocol/intent.ts";
import { CONTENT_CHUNKS_MAX, INLINE_BYTES_MAX } from "../../shared/protocol/namespace-api.ts";
import { type Change, RECLAIM_KIND } from "./change.ts";
import {
  addKnownReference,
  addReference,
  checkChunk,
  isReferable,
  raiseCopiesWanted,
} from "./chunks.ts";
import type { VerifiedChunk, VerifiedContent } from "./command.ts";
import { type ContentId, contentKey, positionPrefix, prefixEnd, u64 } from "./keys.ts";
import type { FileContent, FileInode, PositionRecord } from "./records.ts";
import { Refusal } from "./refusal.ts";
import type { TreeView } from "./state.ts";
import { CONTENTS, POSITIONS } from "./tables.ts";

/** What a file's record says of its content. */
export interface ContentFields {
  readonly sizeBytes: number;
  readonly chunkSizeBytes: number;
  readonly contentRoot: Uint8Array;
  readonly content: FileContent;
}

/** How many copies the file's chunks need. */
export interface CopyCounts {
  readonly copiesWanted: number;
  /** With fewer a new chunk is refused. */
  readonly copiesMin: number;
}

/** Positions that one refusal names; a client uploads those and asks again. */
const MISSING_LISTED_MAX = 1_000;

// Inline content -----------------------------------------------------------------------------

/** @throws {Refusal} TOO_LARGE */
function checkInline(change: Change, bytes: Uint8Array): void {
  const allowed = present(change.clusterFacts, "a cluster was made").inlineBytesMax;
  const bytesMax = Math.min(allowed, INLINE_BYTES_MAX);
  if (bytes.length <= bytesMax) return;
  throw new Refusal(
    "TOO_LARGE",
    `Cannot keep ${bytes.length} bytes in the inode: expected at most ${bytesMax}`,
    { inlineBytesMax: bytesMax },
  );
}

/** The fields of a file whose bytes are in its inode. It counts as one chunk, an empty one as none. */
export function inlineFields(
  change: Change,
  bytes: Uint8Array,
  chunkSizeBytes: number = CHUNK_BYTES_MAX,
): ContentFields {
  const { hasher } = change;
  const sizeBytes = bytes.length;
  if (sizeBytes === 0 && chunkSizeBytes === CHUNK_BYTES_MAX) return emptyFields(change);
  const ids = sizeBytes === 0 ? [] : [chunkIdOf(hasher, sizeBytes, hashBlocks(hasher, bytes))];
  const contentRoot = contentRootOf(hasher, { sizeBytes, chunkSizeBytes }, ids.map(chunkIdBytes));
  // A copy: the bytes of a command are a view of the log's memory.
  return {
    sizeBytes,
    chunkSizeBytes,
    contentRoot,
    content: { kind: "inline", bytes: new Uint8Array(bytes) },
  };
}

/** One for all: most files begin empty. */
const NO_CONTENT = { kind: "inline", bytes: new Uint8Array() } as const;

/** The fields of an empty file of the default chunk size. */
export function emptyFields({ emptyRoot: contentRoot }: Change): ContentFields {
  return { sizeBytes: 0, chunkSizeBytes: CHUNK_BYTES_MAX, contentRoot, content: NO_CONTENT };
}

/** `contentRoot` of an empty file of the default chunk size. */
export function emptyRootOf(hasher: Hasher): Digest {
  return contentRootOf(hasher, { sizeBytes: 0, chunkSizeBytes: CHUNK_BYTES_MAX }, []);
}

// Content in chunks --------------------------------------------------------------------------

/** The chunks that a file of `sizeBytes` has. @throws {Refusal} INVALID_ARGUMENT, TOO_LARGE */
export function chunkCountOf(sizeBytes: number, chunkSizeBytes: number): number {
  const isPower = Number.isInteger(Math.log2(chunkSizeBytes));
  if (!isPower || chunkSizeBytes < CHUNK_BYTES_MIN || chunkSizeBytes > CHUNK_BYTES_MAX) {
    throw new Refusal(
      "INVALID_ARGUMENT",
      `Cannot use a chunk size of ${chunkSizeBytes} bytes: expected a power of two, ${CHUNK_BYTES_MIN} to ${CHUNK_BYTES_MAX}`,
    );
  }
  const count = Math.ceil(sizeBytes / chunkSizeBytes);
  if (count <= CONTENT_CHUNKS_MAX) return count;
  throw new Refusal(
    "TOO_LARGE",
    `Cannot commit a file of ${sizeBytes} bytes: expected at most ${CONTENT_CHUNKS_MAX} chunks of ${chunkSizeBytes} bytes`,
  );
}

/** Checks that the chunk of `position` is full, or the file's rest if it is the last one. */
export function checkLength(
  file: { readonly sizeBytes: number; readonly chunkSizeBytes: number },
  position: number,
  lengthBytes: number,
): void {
  const { sizeBytes, chunkSizeBytes } = file;
  const wanted = Math.min(chunkSizeBytes, sizeBytes - position * chunkSizeBytes);
  if (lengthBytes === wanted) return;
  throw new Refusal(
    "INVALID_ARGUMENT",
    `Cannot commit ${sizeBytes} bytes: expected ${wanted} bytes at position ${position}: the chunk has ${lengthBytes}`,
    { position },
  );
}

/**
 * Checks the chunks that a commit names, each with its position.
 *
 * @throws {Refusal} CHUNKS_MISSING with details.missing, the positions that are to be uploaded;
 *   INTENT_EXPIRED, TOO_FEW_CHUNKSERVERS, INVALID_ARGUMENT.
 */
export function checkChunks(
  change: Change,
  chunks: Iterable<{ readonly position: number; readonly chunk: VerifiedChunk }>,
  { copiesMin }: CopyCounts,
): void {
  const uploaded = new Set<ChunkId>();
  const missing: number[] = [];
  for (const { position, chunk } of chunks) {
    const isKnown = uploaded.has(chunk.id) || isReferable(change, chunk.id);
    const isThere = checkChunk(change, chunk, { copiesMin, isKnown });
    if (isThere && chunk.replicas.length > 0) uploaded.add(chunk.id);
    if (!isThere) missing.push(position);
  }
  if (missing.length === 0) return;
  throw new Refusal(
    "CHUNKS_MISSING",
    `Cannot commit by reference: expected chunks that the cluster holds: ${missing.length} are not there`,
    { missing: missing.slice(0, MISSING_LISTED_MAX), missingCount: missing.length },
  );
}

/** Checks a whole new content. Nothing is changed. */
export function checkContent(change: Change, content: VerifiedContent, copies: CopyCounts): void {
  if (content.kind === "inline") {
    checkInline(change, content.bytes);
    return;
  }
  const { sizeBytes, chunkSizeBytes, chunks } = content;
  const count = chunkCountOf(sizeBytes, chunkSizeBytes);
  if (chunks.length !== count) {
    throw new Refusal(
      "INVALID_ARGUMENT",
      `Cannot commit ${sizeBytes} bytes: expected ${count} chunks of ${chunkSizeBytes} bytes: there are ${chunks.length}`,
    );
  }
  for (const [position, chunk] of chunks.entries()) {
    checkLength(content, position, chunk.lengthBytes);
  }
  const placed = chunks.map((chunk, position) => ({ position, chunk }));
  checkChunks(change, placed, copies);
}

/** Makes a new content, which `checkContent` has passed. */
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
 * The content that a file had in the past, as a new one: its positions may have been changed since,
 * but the history keeps the chunks that they named.
 *
 * @throws {Refusal} TOO_LARGE if the entry would refer to more chunks than the largest file has
 */
export function contentOfPast(change: Change, past: TreeView, file: FileInode): ContentFields {
  const { sizeBytes, chunkSizeBytes, contentRoot, content, copiesWanted } = file;
  if (content.kind === "inline") return { sizeBytes, chunkSizeBytes, contentRoot, content };
  const { chunkCount } = content;
  if (change.addRestoredChunks(chunkCount) > CONTENT_CHUNKS_MAX) {
    throw new Refusal(
      "TOO_LARGE",
      `Cannot restore ${chunkCount} chunks more: expected at most ${CONTENT_CHUNKS_MAX} in one transaction`,
    );
  }
  const contentId = newContent(change);
  for (let position = 0; position < chunkCount; position += 1) {
    const old = present(past.position(content.contentId, position), "a content has all positions");
    change.putNewPosition(contentId, position, { ...old, version: change.index });
    addKnownReference(change, old.chunkId, copiesWanted);
  }
  return { sizeBytes, chunkSizeBytes, contentRoot, content: { ...content, contentId } };
}

/** The fields of a file whose content has these chunks. */
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

/** A content of its own id, with one reference: the inode's that will hold it. */
export function newContent(change: Change): ContentId {
  const id = change.totals.nextContent;
  change.updateTotals({ nextContent: (id + 1) as ContentId });
  change.putUnversioned(CONTENTS, contentKey(id), { referenceCount: 1 });
  return id;
}

/** One more inode holds the content. */
export function shareContent(change: Change, content: FileContent): void {
  if (content.kind === "inline") return;
  const { referenceCount } = change.content(content.contentId);
  assert(referenceCount > 0, "a content that an inode holds is referenced");
  change.putUnversioned(CONTENTS, contentKey(content.contentId), {
    referenceCount: referenceCount + 1,
  });
}

/** An inode lets go of its content. The past still shows it: its reference waits to be reclaimed. */
export function releaseContent(change: Change, content: FileContent): void {
  if (content.kind === "chunks") {
    change.queueReclaim(RECLAIM_KIND.content, u64(content.contentId));
  }
}

/** The positions of a content, in order. */
export function positionsOf(change: Change, content: FileContent): readonly PositionRecord[] {
  if (content.kind === "inline") return [];
  const start = positionPrefix(content.contentId);
  const rows = change.rows(POSITIONS, { start, end: prefixEnd(start) }, CONTENT_CHUNKS_MAX);
  assert(rows.length === content.chunkCount, "a content has all its positions");
  return rows.map((row) => row.value);
}

/** A file wants more copies of its chunks than before. */
export function raiseCopies(change: Change, content: FileContent, copiesWanted: number): void {
  for (const { chunkId } of positionsOf(change, content)) {
    raiseCopiesWanted(change, chunkId, copiesWanted);
  }
}
