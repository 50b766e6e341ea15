import type { Branded } from "./brand.ts";
import { AshlarError } from "./errors.ts";

/** BLAKE3-256 as 32 bytes. The array is never modified. */
export type Digest = Branded<Uint8Array, "Digest">;
/**
 * Root over a chunk's length and block hashes (see `chunkIdOf`), 64 lower-case hex digits. Chunks
 * with equal bytes have equal ids.
 */
export type ChunkId = Branded<string, "ChunkId">;
/** Position in the Raft log. The first entry has index 1; 0 is the position before it. */
export type LogIndex = Branded<number, "LogIndex">;
/** Raft term (Raft §5.1). It is 0 before the first election. */
export type Term = Branded<number, "Term">;
/** A member of the Raft group: an integer from 1, never reused for another data directory. */
export type MemberId = Branded<number, "MemberId">;
/** A chunkserver's disk: 32 random lower-case hex digits, kept in its identity file. */
export type ServerId = Branded<string, "ServerId">;
/** A cluster: 32 lower-case hex digits, chosen at random when the cluster is created. */
export type ClusterId = Branded<string, "ClusterId">;
/** An inode number: an integer from 1 (the root directory), never reused. */
export type InodeId = Branded<number, "InodeId">;
/** A client session: the log index of the entry that opened it. */
export type SessionId = Branded<number, "SessionId">;
/**
 * An unfinished upload of a session: 32 random lower-case hex digits, chosen by the client. Two
 * sessions may use the same id.
 */
export type StagingId = Branded<string, "StagingId">;

/** Length of a `Digest`. */
export const DIGEST_BYTES = 32;
/** The unit of hashing and verification, in bytes. The last block of a chunk may be shorter. */
export const BLOCK_BYTES = 64 * 1024;
/** Bounds of a file's chunk size, which is a power of two. */
export const CHUNK_BYTES_MIN = 1024 * 1024;
export const CHUNK_BYTES_MAX = 64 * 1024 * 1024;

const HEX_64 = /^[0-9a-f]{64}$/;
const HEX_32 = /^[0-9a-f]{32}$/;

function parseHex<T>(text: string, pattern: RegExp, what: string, digits: number): T {
  if (!pattern.test(text)) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot parse ${what}: expected ${digits} lower-case hex digits: current value is "${text.slice(0, 80)}"`,
    );
  }
  return text as T;
}

/** @throws {AshlarError} INVALID_ARGUMENT if `text` is not 64 lower-case hex digits. */
export function parseChunkId(text: string): ChunkId {
  return parseHex<ChunkId>(text, HEX_64, "chunk id", 64);
}

/** @throws {AshlarError} INVALID_ARGUMENT if `text` is not 32 lower-case hex digits. */
export function parseServerId(text: string): ServerId {
  return parseHex<ServerId>(text, HEX_32, "server id", 32);
}

/** @throws {AshlarError} INVALID_ARGUMENT if `text` is not 32 lower-case hex digits. */
export function parseClusterId(text: string): ClusterId {
  return parseHex<ClusterId>(text, HEX_32, "cluster id", 32);
}

/** Returns whether two lists have the same members in the same order. */
export function areSameMembers(left: readonly MemberId[], right: readonly MemberId[]): boolean {
  return left.length === right.length && left.every((id, position) => id === right[position]);
}
