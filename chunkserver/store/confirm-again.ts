import { concatBytes, equalBytes, toHex } from "../../shared/base/bytes.ts";
import { type ChunkId, DIGEST_BYTES, type LogIndex } from "../../shared/base/ids.ts";
import { chunkIdBytes } from "../../shared/protocol/intent.ts";
import { confirmDueMsIn, makeDue } from "./confirm-due.ts";
import { CONFIRMED_KEY } from "./index-keys.ts";
import type { StoreDeps } from "./store-deps.ts";

/** Records that are read before other tasks run. */
const RECORDS_PER_TURN = 1_000;
/** Before the first chunk: no chunk has this id. */
const BEGIN = "0".repeat(2 * DIGEST_BYTES) as ChunkId;

/**
 * The row CONFIRMED_KEY.
 *
 *     offset  size  field
 *          0    32  restoreId
 *         32    32  markedTo; absent if it is null
 *     32, 64     8  earlierTo, big-endian; absent if it is 0
 */
interface Confirmed {
  /**
   * Restore id of the masters that the confirmations of this server belong to: below feature level 13 the
   * hash of their chunk key.
   */
  readonly restoreId: Uint8Array;
  /** The last chunk that was made due for these masters. Null if all are. */
  readonly markedTo: ChunkId | null;
  /** The largest intent of the copies that this server had when the masters were restored, or 0. */
  readonly earlierTo: number;
}

/**
 * Notes the masters with which this server registers, before it accepts their keys. If they were restored from a
 * backup, all copies of this server are from an earlier history of the cluster. Intents of different
 * histories are not ordered if a clock was wrong at a restore, so the masters cannot know this (docs/decisions/0010).
 * Durable when it resolves.
 */
export async function noteRestore(deps: StoreDeps, restoreId: Uint8Array): Promise<void> {
  const confirmed = confirmedOf(deps);
  if (confirmed === null || equalBytes(confirmed.restoreId, restoreId)) return;
  let earlierTo = 0;
  let after: ChunkId | null = BEGIN;
  while (after !== null) {
    const records = deps.index.recordsAfter(after, RECORDS_PER_TURN);
    for (const { record } of records) earlierTo = Math.max(earlierTo, record.intentIndex);
    after = records.at(-1)?.chunkId ?? null;
    await deps.clock.yieldTurn();
  }
  const row = encode({ restoreId, markedTo: BEGIN, earlierTo });
  await deps.index.change((operation) => operation.set(CONFIRMED_KEY, row));
}

/** Returns whether a copy with this intent is from before the last restore of the masters. */
export function isFromEarlierMasters(deps: StoreDeps, intentIndex: LogIndex): boolean {
  return intentIndex <= (confirmedOf(deps)?.earlierTo ?? 0);
}

/**
 * Makes up to `limit` confirmed chunks due for confirmation if the masters have another restore id than
 * those that confirmed them. It changes with a restore from a backup: the restored masters
 * do not know the copies that were confirmed after the backup (docs/decisions/0010). The first start of
 * this version finds no id and does the same. Continues after a restart where it ended.
 *
 * @returns the number of chunks that were read. 0: all chunks are done
 */
export async function confirmAgain(
  deps: StoreDeps,
  { restoreId, limit }: { readonly restoreId: Uint8Array; readonly limit: number },
): Promise<number> {
  const found = confirmedOf(deps);
  const begun = found !== null && equalBytes(found.restoreId, restoreId) ? found : null;
  if (begun !== null && begun.markedTo === null) return 0;
  const after = begun?.markedTo ?? null;
  const chunkIds = deps.index.recordsAfter(after, limit).map(({ chunkId }) => chunkId);
  const dueMs = confirmDueMsIn(deps, 0);
  await deps.index.change((operation) => {
    makeDue(operation, chunkIds, dueMs);
    const last = chunkIds.length < limit ? undefined : chunkIds.at(-1);
    const earlierTo = begun?.earlierTo ?? 0;
    operation.set(CONFIRMED_KEY, encode({ restoreId, markedTo: last ?? null, earlierTo }));
  });
  return chunkIds.length;
}

function confirmedOf({ index }: StoreDeps): Confirmed | null {
  const row = index.get(CONFIRMED_KEY);
  if (row === null) return null;
  const end = row.length >= 2 * DIGEST_BYTES ? 2 * DIGEST_BYTES : DIGEST_BYTES;
  const view = new DataView(row.buffer, row.byteOffset, row.length);
  return {
    restoreId: row.slice(0, DIGEST_BYTES),
    markedTo: end === DIGEST_BYTES ? null : (toHex(row.subarray(DIGEST_BYTES, end)) as ChunkId),
    earlierTo: row.length > end ? Number(view.getBigUint64(end)) : 0,
  };
}

function encode({ restoreId, markedTo, earlierTo }: Confirmed): Uint8Array {
  const index = new Uint8Array(earlierTo === 0 ? 0 : 8);
  if (earlierTo > 0) new DataView(index.buffer).setBigUint64(0, BigInt(earlierTo));
  return concatBytes([restoreId, ...(markedTo === null ? [] : [chunkIdBytes(markedTo)]), index]);
}
