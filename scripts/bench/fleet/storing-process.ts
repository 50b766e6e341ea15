import { LmdbStores } from "../../../shared/platform/lmdb-store.ts";
import type { KeyValue } from "../../../shared/ports/ordered-store.ts";

/*
 * A process that stores the rows of a state as a learner does, and nothing else: it reads them from a store
 * and commits them to another one, in parts of PART_BYTES, until its parent disconnects. A learner on the
 * same machine costs the masters at least as much. Arguments: the directory of the source, its store, and
 * the directory of the target.
 */
const PART_BYTES = 512 * 1024;

const [, , sourcePath = "", name = "", targetPath = ""] = process.argv;

process.on("disconnect", () => process.exit());
await copyRows();

async function copyRows(): Promise<void> {
  const source = await new LmdbStores(sourcePath).open(name);
  const target = await new LmdbStores(targetPath).open(name);
  const reader = source.snapshot();
  let part: KeyValue[] = [];
  let bytes = 0;
  for (const row of reader.range({ start: new Uint8Array(0), end: Uint8Array.of(0xff, 0xff) })) {
    part.push(row);
    bytes += row.key.length + row.value.length;
    if (bytes < PART_BYTES) continue;
    await target.commit(part);
    part = [];
    bytes = 0;
  }
}
