import { present } from "../../shared/base/assert.ts";
import type { Change } from "./change.ts";
import { addKnownReference, addReference, dropReference } from "./chunks.ts";
import type { ChunkChange, CommitChunksOperation } from "./command.ts";
import {
  type ContentFields,
  type CopyCounts,
  checkChunks,
  checkLength,
  chunkCountOf,
  chunkFields,
  inlineFields,
  newContent,
  positionsOf,
  releaseContent,
} from "./contents.ts";
import { copyCountsOf, findFile, storageClassOf, updateContent } from "./files.ts";
import type { ContentId } from "./keys.ts";
import type { FileInode, PositionRecord } from "./records.ts";
import { refusal } from "./refusal.ts";
import { showTarget } from "./tree.ts";

/** A checked commit to one file: the positions before it, and the changes of some positions. */
interface ChunkCommit {
  readonly file: FileInode;
  readonly before: readonly PositionRecord[];
  readonly changes: ReadonlyMap<number, ChunkChange>;
  readonly sizeBytes: number;
  readonly chunkCount: number;
  readonly copies: CopyCounts;
}

/** Changes some chunks of a file, if the file has not changed since the writer read it (G9). */
export function commitChunks(change: Change, operation: CommitChunksOperation): FileInode {
  const { target, sizeBytes } = operation;
  const file = findFile(change, target);
  const copies = copyCountsOf(file, storageClassOf(change, file.storageClass));
  const before = positionsOf(change, file.content);
  // This check comes first: a commit of another writer can be the cause of every later refusal.
  checkExpected(change, operation, { file, before });
  const chunkCount = chunkCountOf(sizeBytes, file.chunkSizeBytes);
  const changes = changesByPosition(operation, chunkCount);
  const commit = { file, before, changes, sizeBytes, chunkCount, copies };
  checkLengths(commit);
  checkChunks(change, changes.values(), copies);
  const fields = applyCommit(change, commit);
  const mtimeMs = operation.mtimeMs ?? change.nowMs;
  return updateContent(change, file, { ...fields, mtimeMs });
}

function changesByPosition(
  { changes }: CommitChunksOperation,
  chunkCount: number,
): ReadonlyMap<number, ChunkChange> {
  const byPosition = new Map<number, ChunkChange>();
  for (const chunkChange of changes) {
    const { position } = chunkChange;
    if (position >= chunkCount || byPosition.has(position)) {
      throw refusal("position-invalid", { position, chunkCount });
    }
    byPosition.set(position, chunkChange);
  }
  return byPosition;
}

/**
 * Compares the file with what the writer expects (compare-and-set). A writer that is refused reads
 * the new content, merges and commits again.
 *
 * @throws {Refusal} PRECONDITION_FAILED
 */
function checkExpected(
  change: Change,
  operation: CommitChunksOperation,
  { file, before }: Pick<ChunkCommit, "file" | "before">,
): void {
  const { target, sizeBytesExpected, changes } = operation;
  if (file.sizeBytes !== sizeBytesExpected) {
    const { sizeBytes } = file;
    const path = showTarget(change, target);
    const facts = { path, expected: sizeBytesExpected, actual: sizeBytes };
    throw refusal("size-changed", facts, { sizeBytes });
  }
  for (const { position, expected } of changes) {
    const actual = before[position]?.chunkId ?? null;
    if (actual === expected) continue;
    const path = showTarget(change, target);
    const facts = { path, position, expected, actual };
    throw refusal("chunk-changed", facts, { position, chunkId: actual });
  }
}

/** Checks that every position has a chunk of the right length: see `checkLength`. */
function checkLengths({ file, before, changes, sizeBytes, chunkCount }: ChunkCommit): void {
  const { chunkSizeBytes } = file;
  for (let position = 0; position < chunkCount; position += 1) {
    const lengthBytes =
      changes.get(position)?.chunk.lengthBytes ?? before[position]?.lengthBytes ?? 0;
    checkLength({ sizeBytes, chunkSizeBytes }, position, lengthBytes);
  }
}

function applyCommit(change: Change, commit: ChunkCommit): ContentFields {
  const { file, before, changes, sizeBytes, chunkCount } = commit;
  const { content, chunkSizeBytes } = file;
  if (chunkCount === 0) {
    releaseContent(change, content);
    return inlineFields(change, new Uint8Array(), chunkSizeBytes);
  }
  const isOwn = content.kind === "chunks" && change.content(content.contentId).referenceCount === 1;
  const contentId = isOwn ? content.contentId : copyOnWrite(change, commit);
  if (isOwn) changeInPlace(change, contentId, commit);
  const ids = Array.from({ length: chunkCount }, (_, position) =>
    present(
      changes.get(position)?.chunk.id ?? before[position]?.chunkId,
      "checkLengths has found a chunk for every position",
    ),
  );
  return chunkFields(change, { sizeBytes, chunkSizeBytes, contentId }, ids);
}

/** Changes the positions of a content that belongs to this file alone. */
function changeInPlace(change: Change, contentId: ContentId, commit: ChunkCommit): void {
  const { before, changes, chunkCount, copies } = commit;
  for (const { position, chunk } of changes.values()) {
    const { id: chunkId, lengthBytes } = chunk;
    addReference(change, chunk, copies.copiesWanted);
    const record = { chunkId, lengthBytes, version: change.index };
    const isKept = change.putPosition(contentId, position, record);
    const old = before[position];
    if (old !== undefined && !isKept) dropReference(change, old.chunkId);
  }
  for (let position = chunkCount; position < before.length; position += 1) {
    const isKept = change.deletePosition(contentId, position);
    const old = present(before[position], "the position is below the old chunk count");
    if (!isKept) dropReference(change, old.chunkId);
  }
}

/** Makes a new content for a file that shares its content or stores its bytes in the inode. */
function copyOnWrite(change: Change, commit: ChunkCommit): ContentId {
  const { file, before, changes, chunkCount, copies } = commit;
  const contentId = newContent(change);
  const version = change.index;
  for (const { position, chunk } of changes.values()) {
    const { id: chunkId, lengthBytes } = chunk;
    addReference(change, chunk, copies.copiesWanted);
    change.putNewPosition(contentId, position, { chunkId, lengthBytes, version });
  }
  for (const [position, { chunkId, lengthBytes }] of before.slice(0, chunkCount).entries()) {
    if (changes.has(position)) continue;
    addKnownReference(change, chunkId, copies.copiesWanted);
    change.putNewPosition(contentId, position, { chunkId, lengthBytes, version });
  }
  releaseContent(change, file.content);
  return contentId;
}
