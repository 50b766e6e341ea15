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

/** The address of a chunkserver and its failure domains. */
export const serverLocationSchema = v.object({
  serverId: serverIdSchema,
  address: addressSchema,
  host: shortTextSchema,
  rack: shortTextSchema,
});
export type ServerLocation = v.InferOutput<typeof serverLocationSchema>;

/**
 * Returns the name of a chunkserver in texts for people: "chunkserver 1a2b3c4d (10.0.0.5:7410)".
 * A program that knows a better name replaces exactly this text.
 */
export function serverLabel(server: Pick<ServerLocation, "serverId" | "address">): string {
  return `chunkserver ${server.serverId.slice(0, 8)} (${server.address})`;
}

/** Most servers of a write chain: a storage class has at most so many copies. */
export const CHAIN_SERVERS_MAX = 9;

/**
 * The leader's permission to write chunks to these servers.
 *
 * `issuedIndex` orders the intent against purges and against the intent floor (docs/decisions): a
 * commit under an intent older than the floor is refused, so a server may drop chunks that were
 * written under such an intent.
 */
export const intentSchema = v.object({
  servers: v.pipe(v.array(serverLocationSchema), v.minLength(1), v.maxLength(CHAIN_SERVERS_MAX)),
  issuedIndex: logIndexSchema,
  /** Time in which the writer should commit. A server keeps the chunk at least that long. */
  lifetimeMs: countSchema,
  /** Result of `signIntent` with the cluster's chunk key. */
  signature: digestSchema,
});
export type Intent = v.InferOutput<typeof intentSchema>;

/** A server's signed confirmation that it has sealed a chunk under an intent. */
export const receiptSchema = v.object({ serverId: serverIdSchema, receipt: digestSchema });
export type Receipt = v.InferOutput<typeof receiptSchema>;

/**
 * Returns the MAC of an intent: keyed BLAKE3 over "intent", the index, the lifetime and the server
 * ids.
 */
export function signIntent(
  hasher: Hasher,
  chunkKey: Uint8Array,
  intent: Omit<Intent, "signature">,
): Intent["signature"] {
  const ids = intent.servers.map((server) => server.serverId).join(",");
  return keyed(hasher, chunkKey, `intent ${intent.issuedIndex} ${intent.lifetimeMs} ${ids}`);
}

/** Returns whether `intent` names `serverId` and was signed with this chunk key. */
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

/** The facts that a receipt confirms. */
export interface SealedChunk {
  readonly serverId: ServerId;
  readonly chunkId: ChunkId;
  readonly lengthBytes: number;
  readonly intentIndex: LogIndex;
}

/**
 * Returns the receipt for `sealed`: keyed BLAKE3 over "sealed", the chunk id, length, server,
 * index.
 */
export function signReceipt(
  hasher: Hasher,
  chunkKey: Uint8Array,
  sealed: SealedChunk,
): Receipt["receipt"] {
  const { chunkId, lengthBytes, serverId, intentIndex } = sealed;
  return keyed(hasher, chunkKey, `sealed ${chunkId} ${lengthBytes} ${serverId} ${intentIndex}`);
}

/** Returns whether `receipt` was signed for `sealed` with this chunk key. */
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

/** `text` contains only ASCII: ids and digits. */
function asciiBytes(text: string): Uint8Array {
  // Not Uint8Array.from, which takes as long as the hash.
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) bytes[at] = text.charCodeAt(at);
  return bytes;
}

/** Returns the 32 bytes of a chunk id. */
export function chunkIdBytes(id: ChunkId): Uint8Array {
  return fromHex(id);
}
