import { concatBytes, equalBytes, toHex } from "../../shared/base/bytes.ts";
import { type ChunkId, DIGEST_BYTES } from "../../shared/base/ids.ts";
import { chunkIdBytes } from "../../shared/protocol/intent.ts";
import { confirmDueMsIn, makeDue } from "./confirm-due.ts";
import { CONFIRMED_KEY } from "./index-keys.ts";
import type { StoreDeps } from "./store-deps.ts";

/*
 * The row CONFIRMED_KEY has the restore id of the masters that the confirmations of this server belong to:
 * below feature level 13 the hash of their chunk key. While the chunks are marked, the id of the last
 * marked chunk follows.
 */

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
  const row = deps.index.get(CONFIRMED_KEY);
  const isBegun = row !== null && equalBytes(row.subarray(0, DIGEST_BYTES), restoreId);
  if (isBegun && row.length === DIGEST_BYTES) return 0;
  const after = isBegun ? (toHex(row.subarray(DIGEST_BYTES)) as ChunkId) : null;
  const chunkIds = deps.index.recordsAfter(after, limit).map(({ chunkId }) => chunkId);
  const dueMs = confirmDueMsIn(deps, 0);
  await deps.index.change((operation) => {
    makeDue(operation, chunkIds, dueMs);
    const last = chunkIds.length < limit ? undefined : chunkIds.at(-1);
    const position = last === undefined ? [] : [chunkIdBytes(last)];
    operation.set(CONFIRMED_KEY, concatBytes([restoreId, ...position]));
  });
  return chunkIds.length;
}
