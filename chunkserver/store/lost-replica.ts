import { concatBytes } from "../../shared/base/bytes.ts";
import type { ChunkId, LogIndex } from "../../shared/base/ids.ts";

/** A replica that this server had and lost. */
export interface LostReplica {
  readonly chunkId: ChunkId;
  readonly reason: string;
  /**
   * Intent under which the replica was sealed. The master keeps a replica that was sealed later. Null
   * in rows of versions that did not store it.
   */
  readonly intentIndex: LogIndex | null;
}

/*
 * A row of table L: 0, the intent index (8 bytes, big-endian), the reason (UTF-8). Rows of older
 * versions have only the reason, which begins with a letter.
 */
const WITH_INTENT = 0;
const HEADER_BYTES = 9;

/** Returns the value of a row of table L. */
export function encodeLoss(reason: string, intentIndex: LogIndex): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  header[0] = WITH_INTENT;
  new DataView(header.buffer).setBigUint64(1, BigInt(intentIndex));
  return concatBytes([header, new TextEncoder().encode(reason)]);
}

/** Decodes the value of a row of table L. */
export function decodeLoss(value: Uint8Array): Omit<LostReplica, "chunkId"> {
  const decoder = new TextDecoder();
  if (value[0] !== WITH_INTENT || value.length < HEADER_BYTES) {
    return { reason: decoder.decode(value), intentIndex: null };
  }
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  const intentIndex = Number(view.getBigUint64(1)) as LogIndex;
  return { reason: decoder.decode(value.subarray(HEADER_BYTES)), intentIndex };
}
