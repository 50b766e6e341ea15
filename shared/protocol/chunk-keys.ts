import * as v from "valibot";
import type { LogIndex } from "../base/ids.ts";
import { bytesSchema, countSchema, logIndexSchema } from "./schemas.ts";

/** A version of the key of intents and receipts: docs/decisions/0019. */
const chunkKeySchema = v.object({
  version: countSchema,
  /** Intents that were issued at this index or later, up to that of the next version, have it. */
  fromIndex: logIndexSchema,
  key: bytesSchema(32),
});
/** The accepted versions of the chunk key, oldest first. */
export const chunkKeysSchema = v.pipe(v.array(chunkKeySchema), v.minLength(1), v.maxLength(16));
export type ChunkKeys = readonly v.InferOutput<typeof chunkKeySchema>[];

/** Returns the versions of a chunk key that has not been rotated. */
export function firstChunkKeys(key: Uint8Array): ChunkKeys {
  return [{ version: 1, fromIndex: 0 as LogIndex, key }];
}

/** Returns the key of intents that were issued at `index`. Null if it is older than all of `keys`. */
export function keyOfIndex(keys: ChunkKeys, index: LogIndex): Uint8Array | null {
  return keys.findLast(({ fromIndex }) => fromIndex <= index)?.key ?? null;
}
