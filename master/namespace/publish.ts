import { present } from "../../shared/base/assert.ts";
import { concatBytes } from "../../shared/base/bytes.ts";
import { DIGEST_BYTES, type SessionId } from "../../shared/base/ids.ts";
import {
  LIST_ROOT_CHUNKS_MAX,
  SEGMENT_CHUNKS,
  segmentDigestOf,
  treeRootOf,
} from "../../shared/protocol/chunk-id.ts";
import { chunkIdBytes } from "../../shared/protocol/intent.ts";
import type { OperationOf } from "../../shared/protocol/namespace-api.ts";
import type { Change } from "./change.ts";
import type { VerifiedChunk } from "./command.ts";
import { type ContentFields, chunkCountOf, chunkFields, positionsOf } from "./contents.ts";
import { FEATURE_LEVEL_PUBLISH } from "./feature-levels.ts";
import { putContent } from "./files.ts";
import { type ContentId, stagedKey } from "./keys.ts";
import { raiseCopies } from "./raise-copies.ts";
import type { FileInode, StagedRecord, UploadSegments } from "./records.ts";
import { refusal } from "./refusal.ts";
import { addToStagedTotals } from "./staged-totals.ts";
import { STAGED } from "./tables.ts";

/**
 * Makes an unfinished upload the content of a file. The chunks keep the references of the upload.
 *
 * @throws {Refusal} PRECONDITION_FAILED without such an upload; INVALID_ARGUMENT if the sizes do not
 *   match; ALREADY_EXISTS, IS_A_DIRECTORY, NOT_FOUND, NOT_A_DIRECTORY, TOO_LARGE
 */
export function publish(
  change: Change,
  sessionId: SessionId,
  operation: OperationOf<"publish">,
): FileInode {
  return putContent(change, operation, ({ copiesWanted }) => {
    const key = stagedKey(sessionId, operation.id);
    const record = change.get(STAGED, key);
    const segments = checkUpload(record, operation);
    const fields = fieldsOf(change, record as StagedRecord, { segments, operation });
    change.deleteUnversioned(STAGED, key);
    const { chunkCount: chunks, sizeBytes: bytes } = record as StagedRecord;
    addToStagedTotals(change, sessionId, { uploads: -1, chunks: -chunks, bytes: -bytes });
    if (copiesWanted > segments.copiesWanted) raiseCopies(change, fields.content, copiesWanted);
    return fields;
  });
}

/** @throws {Refusal} */
function checkUpload(
  record: StagedRecord | undefined,
  { id, sizeBytes, chunkSizeBytes }: OperationOf<"publish">,
): UploadSegments {
  if (record?.segments === undefined) {
    throw refusal("upload-missing", { id, level: FEATURE_LEVEL_PUBLISH });
  }
  const { chunkCount, segments } = record;
  const isUniform = chunkCount === 1 || segments.fullBytes === chunkSizeBytes;
  const isWhole =
    chunkCountOf(sizeBytes, chunkSizeBytes) === chunkCount && record.sizeBytes === sizeBytes;
  if (isUniform && isWhole) return segments;
  const { sizeBytes: actual } = record;
  throw refusal("upload-sizes", { id, sizeBytes, chunkSizeBytes, actual, chunkCount });
}

function fieldsOf(
  change: Change,
  { contentId, chunkCount }: StagedRecord,
  upload: { readonly segments: UploadSegments; readonly operation: OperationOf<"publish"> },
): ContentFields {
  const { sizeBytes, chunkSizeBytes } = upload.operation;
  const content = { kind: "chunks", contentId, chunkCount } as const;
  const file = { sizeBytes, chunkSizeBytes };
  if (chunkCount > LIST_ROOT_CHUNKS_MAX) {
    const contentRoot = treeRootOf(change.hasher, file, upload.segments.digests);
    return { ...file, contentRoot, content };
  }
  const ids = positionsOf(change, content).map(({ chunkId }) => chunkId);
  return chunkFields(change, { ...file, contentId }, ids);
}

/**
 * Returns the segments of an upload after `added` chunks at the position `first`. Undefined below feature
 * level 11, and for an upload that began there.
 */
export function segmentsAfter(
  change: Change,
  before: StagedRecord | undefined,
  more: {
    readonly contentId: ContentId;
    readonly first: number;
    readonly added: readonly VerifiedChunk[];
    readonly copiesWanted: number;
  },
): UploadSegments | undefined {
  if (change.featureLevel < FEATURE_LEVEL_PUBLISH) return undefined;
  if (before !== undefined && before.segments === undefined) return undefined;
  const { contentId, first, added } = more;
  const start = first - (first % SEGMENT_CHUNKS);
  const ids: Uint8Array[] = [];
  for (let position = start; position < first; position += 1) {
    const known = present(change.position(contentId, position), "an upload has all positions");
    ids.push(chunkIdBytes(known.chunkId));
  }
  ids.push(...added.map(({ id }) => chunkIdBytes(id)));
  const kept = (before?.segments?.digests ?? new Uint8Array()).slice(
    0,
    (start / SEGMENT_CHUNKS) * DIGEST_BYTES,
  );
  const digests: Uint8Array[] = [kept];
  for (let from = 0; from < ids.length; from += SEGMENT_CHUNKS) {
    digests.push(segmentDigestOf(change.hasher, ids.slice(from, from + SEGMENT_CHUNKS)));
  }
  const lengths = added.map(({ lengthBytes }) => lengthBytes);
  const copiesWanted = Math.min(
    more.copiesWanted,
    before?.segments?.copiesWanted ?? more.copiesWanted,
  );
  return {
    digests: concatBytes(digests),
    ...lengthsAfter(before?.segments, { first, lengths }),
    copiesWanted,
  };
}

function lengthsAfter(
  before: UploadSegments | undefined,
  { first, lengths }: { readonly first: number; readonly lengths: readonly number[] },
): Pick<UploadSegments, "fullBytes" | "lastBytes"> {
  const lastBytes = present(lengths.at(-1), "at least one chunk is added");
  const full = [...(before === undefined ? [] : [before.lastBytes]), ...lengths.slice(0, -1)];
  const [firstFull = 0] = full;
  // Position 0 has no chunk before it, and position 1 none that is known to be full.
  const known = before === undefined || first === 1 ? firstFull : before.fullBytes;
  const isUniform = full.every((length) => length === known);
  return { fullBytes: isUniform ? known : 0, lastBytes };
}
