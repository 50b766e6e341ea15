import * as v from "valibot";
import { equalBytes, fromHex } from "../base/bytes.ts";
import type { ChunkId, LogIndex, ServerId } from "../base/ids.ts";
import type { Hasher } from "../ports/hasher.ts";
import {
  addressSchema,
  countSchema,
  digestSchema,
  logIndexSchema,
  serverIdSchema,
  shortTextSchema,
} from "./schemas.ts";

/** Where a chunkserver is, and what it shares its fate with. */
export const serverLocationSchema = v.object({
  serverId: serverIdSchema,
  address: addressSchema,
  host: shortTextSchema,
  rack: shortTextSchema,
});
export type ServerLocation = v.InferOutput<typeof serverLocationSchema>;

/**
 * The leader's leave to write one chunk to these servers.
 *
 * `issuedIndex` orders it against purges and against the intent floor (docs/decisions): a commit
 * under an intent older than the floor is refused, so a server may drop what was written under it.
 */
export const intentSchema = v.object({
  servers: v.pipe(v.array(serverLocationSchema), v.minLength(1), v.maxLength(16)),
  issuedIndex: logIndexSchema,
  /** The writer should have committed within so long; a server keeps the chunk at least so long. */
  lifetimeMs: countSchema,
  /** `signIntent` with the cluster's chunk key. */
  signature: digestSchema,
});
export type Intent = v.InferOutput<typeof intentSchema>;

/** A server's word, under the cluster's chunk key, that it has sealed a chunk written under an intent. */
export const receiptSchema = v.object({ serverId: serverIdSchema, receipt: digestSchema });
export type Receipt = v.InferOutput<typeof receiptSchema>;

/** The MAC over an intent: keyed BLAKE3 over "intent", the index, the lifetime and the server ids. */
export function signIntent(
  hasher: Hasher,
  chunkKey: Uint8Array,
  intent: Omit<Intent, "signature">,
): Intent["signature"] {
  const ids = intent.servers.map((server) => server.serverId).join(",");
  return keyed(hasher, chunkKey, `intent ${intent.issuedIndex} ${intent.lifetimeMs} ${ids}`);
}

/** Whether the leader of a cluster with this chunk key signed `intent` and it names `serverId`. */
export function isIntentFor(
  hasher: Hasher,
  chunkKey: Uint8Array,
  intent: Intent,
  serverId: ServerId,
): boolean {
  return (
    equalBytes(signIntent(hasher, chunkKey, intent), intent.signature) &&
    intent.servers.some((server) => server.serverId === serverId)
  );
}

export interface SealedChunk {
  readonly serverId: ServerId;
  readonly chunkId: ChunkId;
  readonly lengthBytes: number;
  readonly intentIndex: LogIndex;
}

/** The receipt for `sealed`: keyed BLAKE3 over "sealed", the chunk id, length, server and index. */
export function signReceipt(
  hasher: Hasher,
  chunkKey: Uint8Array,
  sealed: SealedChunk,
): Receipt["receipt"] {
  const { chunkId, lengthBytes, serverId, intentIndex } = sealed;
  return keyed(hasher, chunkKey, `sealed ${chunkId} ${lengthBytes} ${serverId} ${intentIndex}`);
}

export function isReceiptFor(
  hasher: Hasher,
  chunkKey: Uint8Array,
  sealed: SealedChunk,
  receipt: Uint8Array,
): boolean {
  return equalBytes(signReceipt(hasher, chunkKey, sealed), receipt);
}

function keyed(hasher: Hasher, chunkKey: Uint8Array, text: string): Intent["signature"] {
  return hasher.keyedHash(chunkKey, asciiBytes(text));
}

/** Only ASCII ids and digits come here. */
function asciiBytes(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** The 32 bytes of a chunk id. */
export function chunkIdBytes(id: ChunkId): Uint8Array {
  return fromHex(id);
}
