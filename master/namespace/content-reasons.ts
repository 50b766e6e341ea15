import { reason } from "./refusal-reason.ts";

/** A chunk is named by its id, a content by its size. */
type OfChunk = { readonly chunkId: string };
type OfSize = { readonly sizeBytes: number; readonly chunkSizeBytes: number };
type Compared = { readonly expected: number; readonly actual: number };

/** The reasons of refusals about contents, chunks and unfinished uploads: see refusal-words.ts. */
export const CONTENT_REASONS = {
  /** An entry costs more than one entry may: see cost.ts. */
  "entry-units": reason(
    "TOO_LARGE",
    ({ max }: { readonly max: number }) =>
      `Cannot apply the change: expected at most ${max} units of work`,
  ),
  "inline-size": reason(
    "TOO_LARGE",
    ({ bytes, max }: { readonly bytes: number; readonly max: number }) =>
      `Cannot store ${bytes} bytes in the inode: expected at most ${max}`,
  ),
  "chunk-size": reason(
    "INVALID_ARGUMENT",
    (facts: { readonly chunkSizeBytes: number; readonly min: number; readonly max: number }) =>
      `Cannot use a chunk size of ${facts.chunkSizeBytes} bytes: expected a power of two, ${facts.min} to ${facts.max}`,
  ),
  "file-size": reason(
    "TOO_LARGE",
    ({ sizeBytes, chunkSizeBytes, max }: OfSize & { readonly max: number }) =>
      `Cannot commit a file of ${sizeBytes} bytes: expected at most ${max} chunks of ${chunkSizeBytes} bytes`,
  ),
  "chunk-count": reason(
    "INVALID_ARGUMENT",
    ({ sizeBytes, chunkSizeBytes, expected, actual }: OfSize & Compared) =>
      `Cannot commit ${sizeBytes} bytes: expected ${expected} chunks of ${chunkSizeBytes} bytes: current value is ${actual}`,
  ),
  /** A chunk does not have the length that its position in the file needs. */
  "position-length": reason(
    "INVALID_ARGUMENT",
    (facts: Compared & { readonly sizeBytes: number; readonly position: number }) =>
      `Cannot commit ${facts.sizeBytes} bytes: expected a chunk of ${facts.expected} bytes at position ${facts.position}: current value is ${facts.actual}`,
  ),
  /** A chunk has another length than in the state. */
  "chunk-length": reason(
    "INVALID_ARGUMENT",
    ({ chunkId, expected, actual }: OfChunk & Compared) =>
      `Cannot commit chunk ${chunkId}: expected ${expected} bytes: current value is ${actual}`,
  ),
  "chunks-unknown": reason(
    "CHUNKS_MISSING",
    ({ count }: { readonly count: number }) =>
      `Cannot commit by reference: expected only chunks of this cluster: ${count} are unknown`,
  ),
  "intent-old": reason(
    "INTENT_EXPIRED",
    (facts: OfChunk & { readonly intentIndex: number; readonly oldestIndex: number }) =>
      `Cannot commit chunk ${facts.chunkId}: expected an intent of index ${facts.oldestIndex} or later: current value is ${facts.intentIndex}`,
  ),
  "copies-few": reason(
    "TOO_FEW_CHUNKSERVERS",
    ({ chunkId, copies, min }: OfChunk & { readonly copies: number; readonly min: number }) =>
      `Cannot commit chunk ${chunkId}: expected at least ${min} copies: current value is ${copies}`,
  ),
  "position-invalid": reason(
    "INVALID_ARGUMENT",
    ({ position, chunkCount }: { readonly position: number; readonly chunkCount: number }) =>
      `Cannot commit position ${position}: expected positions below ${chunkCount}, each at most once`,
  ),
  "size-changed": reason(
    "PRECONDITION_FAILED",
    ({ path, expected, actual }: Compared & { readonly path: string }) =>
      `Cannot commit to ${path}: expected a size of ${expected} bytes: current value is ${actual}`,
  ),
  "chunk-changed": reason(
    "PRECONDITION_FAILED",
    (facts: {
      readonly path: string;
      readonly position: number;
      /** Chunk ids; null if the position has or should have no chunk. */
      readonly expected: string | null;
      readonly actual: string | null;
    }) =>
      `Cannot commit to ${facts.path}: expected ${facts.expected ?? "no chunk"} at position ${facts.position}: current value is ${facts.actual ?? "no chunk"}`,
  ),
  "restore-size": reason(
    "TOO_LARGE",
    ({ chunkCount, max }: { readonly chunkCount: number; readonly max: number }) =>
      `Cannot restore ${chunkCount} more chunks: expected at most ${max} in one transaction`,
  ),
  "class-unknown": reason(
    "INVALID_ARGUMENT",
    ({ name }: { readonly name: string }) =>
      `Cannot use the storage class "${name}": expected the name of a defined class`,
  ),
  "tree-staged": reason(
    "ALREADY_EXISTS",
    ({ id }: { readonly id: string }) => `Cannot stage the tree ${id}: the session has it already`,
  ),
  "upload-missing": reason(
    "PRECONDITION_FAILED",
    ({ id, level }: { readonly id: string; readonly level: number }) =>
      `Cannot publish the upload ${id}: expected an upload that this session began at feature level ${level} or later`,
  ),
  "upload-sizes": reason(
    "INVALID_ARGUMENT",
    (facts: {
      readonly id: string;
      readonly sizeBytes: number;
      readonly chunkSizeBytes: number;
      readonly actual: number;
      readonly chunkCount: number;
    }) =>
      `Cannot publish the upload ${facts.id}: expected ${facts.sizeBytes} bytes in chunks of ${facts.chunkSizeBytes}: it has ${facts.actual} bytes in ${facts.chunkCount} chunks`,
  ),
  "upload-short": reason(
    "PRECONDITION_FAILED",
    (facts: { readonly id: string; readonly position: number; readonly chunkCount: number }) =>
      `Cannot stage chunks at position ${facts.position} of upload ${facts.id}: expected at most ${facts.chunkCount}, the number of its chunks`,
  ),
  "upload-differs": reason(
    "PRECONDITION_FAILED",
    (
      facts: OfChunk & {
        readonly id: string;
        readonly position: number;
        readonly expected: string | null;
      },
    ) =>
      `Cannot stage chunk ${facts.chunkId} at position ${facts.position} of upload ${facts.id}: expected chunk ${facts.expected}`,
  ),
  "upload-chunk-length": reason(
    "INVALID_ARGUMENT",
    (facts: OfChunk & { readonly max: number; readonly actual: number }) =>
      `Cannot stage chunk ${facts.chunkId}: expected 1 to ${facts.max} bytes: current value is ${facts.actual}`,
  ),
  "upload-chunks": reason(
    "TOO_LARGE",
    ({ count, max }: { readonly count: number; readonly max: number }) =>
      `Cannot stage ${count} chunks in one upload: expected at most ${max}`,
  ),
  "session-uploads": reason(
    "TOO_LARGE",
    ({ count, max }: { readonly count: number; readonly max: number }) =>
      `Cannot stage ${count} unfinished uploads in one session: expected at most ${max}`,
  ),
  "session-chunks": reason(
    "TOO_LARGE",
    ({ count, max }: { readonly count: number; readonly max: number }) =>
      `Cannot stage ${count} chunks in the unfinished uploads of one session: expected at most ${max}`,
  ),
};
