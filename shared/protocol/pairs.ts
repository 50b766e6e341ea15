import { assert } from "../base/assert.ts";
import { AshlarError } from "../base/errors.ts";
import { KEY_BYTES_MAX, type KeyValue } from "../ports/ordered-store.ts";

/* The encoding of rows in snapshots on the wire and in backups. */

const PAIR_HEADER_BYTES = 8;

/** Returns the size of a row in the encoding of `encodePairs`. */
export function sizeOfPair({ key, value }: KeyValue): number {
  return PAIR_HEADER_BYTES + key.length + value.length;
}

/** Encodes rows as (u32 key length, u32 value length, key, value), little-endian. */
export function encodePairs(pairs: readonly KeyValue[]): Uint8Array {
  const body = new Uint8Array(pairs.reduce((sum, pair) => sum + sizeOfPair(pair), 0));
  const view = new DataView(body.buffer);
  let offset = 0;
  for (const { key, value } of pairs) {
    view.setUint32(offset, key.length, true);
    view.setUint32(offset + 4, value.length, true);
    body.set(key, offset + PAIR_HEADER_BYTES);
    body.set(value, offset + PAIR_HEADER_BYTES + key.length);
    offset += PAIR_HEADER_BYTES + key.length + value.length;
  }
  assert(offset === body.length, "encoded pairs have the computed size");
  return body;
}

/**
 * Decodes the rows in `body`. The rows are views of `body`.
 *
 * @throws {AshlarError} PROTOCOL_ERROR
 */
export function decodePairs(body: Uint8Array): KeyValue[] {
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const pairs: KeyValue[] = [];
  let offset = 0;
  while (offset < body.length) {
    if (offset + PAIR_HEADER_BYTES > body.length) throw malformed("a pair is cut off");
    const keyEnd = offset + PAIR_HEADER_BYTES + view.getUint32(offset, true);
    const valueEnd = keyEnd + view.getUint32(offset + 4, true);
    if (valueEnd > body.length) throw malformed("a pair is cut off");
    const key = body.subarray(offset + PAIR_HEADER_BYTES, keyEnd);
    if (key.length === 0 || key.length > KEY_BYTES_MAX)
      throw malformed("a key has an invalid length");
    pairs.push({ key, value: body.subarray(keyEnd, valueEnd) });
    offset = valueEnd;
  }
  return pairs;
}

function malformed(reason: string): AshlarError {
  return new AshlarError("PROTOCOL_ERROR", `Cannot read keys and values: ${reason}`);
}
