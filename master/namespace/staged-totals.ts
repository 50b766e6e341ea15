import { assert } from "../../shared/base/assert.ts";
import type { InodeId, SessionId, StagingId } from "../../shared/base/ids.ts";
import type { Change } from "./change.ts";
import { type ByteText, entryPrefix, type Key, prefixEnd, stagedTotalsKey } from "./keys.ts";
import { STAGED_TOTALS } from "./tables.ts";

/*
 * Unfinished trees (docs/decisions/0012): directories of a session that are in no directory of the
 * tree. They are entries of a directory without an inode, so no path leads to them; their own inode
 * ids do. The name of such an entry is the session and the staging id.
 */

/** The directory of all unfinished trees. It has a directory record and no inode. */
export const STAGED_ROOT = (2 ** 52) as InodeId;

const SESSION_DIGITS = 16;

/** Returns the name of an unfinished tree below `STAGED_ROOT`. */
export function stagedName(sessionId: SessionId, id: StagingId): ByteText {
  return `${sessionPrefix(sessionId)}${id}` as ByteText;
}

/** Returns the range of the entries of a session's unfinished trees. */
export function stagedTreesOf(sessionId: SessionId): { readonly start: Key; readonly end: Key } {
  const start = (entryPrefix(STAGED_ROOT) + sessionPrefix(sessionId)) as Key;
  return { start, end: prefixEnd(start) };
}

function sessionPrefix(sessionId: SessionId): string {
  return sessionId.toString(16).padStart(SESSION_DIGITS, "0");
}

/** Counts an unfinished tree that was published or removed. */
export function releaseStagedTree(change: Change, name: ByteText): void {
  const sessionId = Number.parseInt(name.slice(0, SESSION_DIGITS), 16) as SessionId;
  addToStagedTotals(change, sessionId, { uploads: -1, chunks: 0, bytes: 0 });
}

/** Adds to the sums of the session and of the whole state. Sums of 0 uploads have no record. */
export function addToStagedTotals(
  change: Change,
  sessionId: SessionId,
  more: { readonly uploads: number; readonly chunks: number; readonly bytes: number },
): void {
  const key = stagedTotalsKey(sessionId);
  const before = change.get(STAGED_TOTALS, key) ?? { uploadCount: 0, chunkCount: 0 };
  const uploadCount = before.uploadCount + more.uploads;
  const chunkCount = before.chunkCount + more.chunks;
  assert(uploadCount >= 0 && chunkCount >= 0, "the sums of a session are not negative");
  if (uploadCount === 0) change.deleteUnversioned(STAGED_TOTALS, key);
  else change.putUnversioned(STAGED_TOTALS, key, { uploadCount, chunkCount });
  if (more.bytes !== 0)
    change.updateTotals({ stagedBytes: change.totals.stagedBytes + more.bytes });
}
