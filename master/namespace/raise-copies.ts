import type { Change } from "./change.ts";
import { raiseCopiesWanted } from "./chunks.ts";
import { positionsOf } from "./contents.ts";
import {
  type ByteText,
  type ContentId,
  contentKey,
  positionKey,
  positionPrefix,
  prefixEnd,
  readU32,
  readU64,
  u32,
  u64,
} from "./keys.ts";
import { RECLAIM_KIND } from "./reclaim-queue.ts";
import type { FileContent } from "./records.ts";
import { CONTENTS, POSITIONS } from "./tables.ts";

/** Chunks whose wanted copies are raised at once. Those of a longer file follow in `reclaim` entries. */
const AT_ONCE_MAX = 256;

/** Bytes of a position key before the position: its table and the content id. */
const POSITION_OFFSET = 9;

/** Where the raise of a content continues: the subject of a row of the reclaim queue. */
interface Raise {
  readonly contentId: ContentId;
  readonly copiesWanted: number;
  readonly position: number;
}

/** Raises the wanted number of copies of every chunk of a content. */
export function raiseCopies(change: Change, content: FileContent, copiesWanted: number): void {
  if (content.kind === "chunks" && content.chunkCount > AT_ONCE_MAX && change.isLongWorkDivided) {
    const { contentId } = content;
    const subject = subjectOf({ contentId, copiesWanted, position: 0 });
    change.queueReclaimAtOnce(RECLAIM_KIND.copies, subject);
    return;
  }
  for (const { chunkId } of positionsOf(change, content)) {
    raiseCopiesWanted(change, chunkId, copiesWanted);
  }
}

/**
 * Raises the wanted copies of at most `limit` chunks of a queued content.
 *
 * @returns the number of chunks, and the subject of the rest. Null if nothing is left
 */
export function continueRaise(
  change: Change,
  subject: ByteText,
  limit: number,
): { readonly count: number; readonly rest: ByteText | null } {
  const raise = raiseOf(subject);
  const { contentId, copiesWanted, position } = raise;
  const content = change.get(CONTENTS, contentKey(contentId));
  if (content === undefined || content.referenceCount === 0) return { count: 0, rest: null };
  const range = {
    start: positionKey(contentId, position),
    end: prefixEnd(positionPrefix(contentId)),
  };
  const rows = change.rows(POSITIONS, range, limit);
  for (const { value } of rows) raiseCopiesWanted(change, value.chunkId, copiesWanted);
  const count = rows.length;
  const last = rows.at(-1);
  if (last === undefined || count < limit) return { count, rest: null };
  return { count, rest: subjectOf({ ...raise, position: readU32(last.key, POSITION_OFFSET) + 1 }) };
}

/** Content id (8 bytes), wanted copies (4), position (4). */
const subjectOf = ({ contentId, copiesWanted, position }: Raise): ByteText =>
  u64(contentId) + u32(copiesWanted) + u32(position);

function raiseOf(subject: ByteText): Raise {
  return {
    contentId: readU64(subject, 0) as ContentId,
    copiesWanted: readU32(subject, 8),
    position: readU32(subject, 12),
  };
}
