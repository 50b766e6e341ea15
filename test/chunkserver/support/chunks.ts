import assert from "node:assert/strict";
import {
  BLOCK_BYTES,
  type ChunkId,
  DIGEST_BYTES,
  type LogIndex,
  type ServerId,
} from "../../../shared/base/ids.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import { chunkIdOf, hashBlocks } from "../../../shared/protocol/chunk-id.ts";
import type { SeededRandom } from "../../support/seeded-random.ts";

/** The real hasher, shared by all tests of the chunkserver. */
export const { hasher } = createHasher();

export interface TestChunk {
  readonly chunkId: ChunkId;
  readonly bytes: Uint8Array;
  readonly hashes: Uint8Array;
}

/** Words of 4 bytes in a sector. */
const SECTOR_WORDS = 128;
/** Words that `makeChunk` draws. The rest of the chunk repeats them. */
const DRAWN_WORDS = 1024;

/**
 * Returns a chunk of pseudo-random bytes that depend only on the seed and the length. The first word
 * of each sector is unique, so no two sectors and no two blocks are equal.
 */
export function makeChunk(lengthBytes: number, seed: number): TestChunk {
  const bytes = new Uint8Array(lengthBytes);
  let state = (seed * 2654435761 + lengthBytes) >>> 0;
  const words = new Uint32Array(bytes.buffer, 0, lengthBytes >> 2);
  for (let index = 0; index < Math.min(words.length, DRAWN_WORDS); index += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[index] = state;
  }
  for (let filled = DRAWN_WORDS; filled < words.length; filled *= 2) {
    words.copyWithin(filled, 0, filled);
  }
  // The generator has a period of 2^32, so the words of one chunk differ.
  for (let index = 0; index < words.length; index += SECTOR_WORDS) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[index] = state;
  }
  for (let index = words.length * 4; index < lengthBytes; index += 1) bytes[index] = seed & 255;
  const hashes = hashBlocks(hasher, bytes);
  return { bytes, hashes, chunkId: chunkIdOf(hasher, lengthBytes, hashes) };
}

export interface TestFrame {
  readonly offsetBytes: number;
  readonly hashes: Uint8Array;
  readonly bytes: Uint8Array;
}

/** Returns the chunk in frames as a client sends them, from a block boundary on. */
export function framesOf(
  chunk: TestChunk,
  fromBytes = 0,
  frameBytes = 1024 * 1024,
): readonly TestFrame[] {
  assert.equal(fromBytes % BLOCK_BYTES, 0);
  const frames: TestFrame[] = [];
  for (let offset = fromBytes; offset < chunk.bytes.length; offset += frameBytes) {
    const bytes = chunk.bytes.subarray(offset, offset + frameBytes);
    const first = offset / BLOCK_BYTES;
    const end = first + Math.ceil(bytes.length / BLOCK_BYTES);
    const hashes = chunk.hashes.subarray(first * DIGEST_BYTES, end * DIGEST_BYTES);
    frames.push({ offsetBytes: offset, hashes, bytes });
  }
  return frames;
}

export function writeIdFor(number: number): string {
  return number.toString(16).padStart(32, "0");
}

export function logIndex(number: number): LogIndex {
  return number as LogIndex;
}

export function serverIdFor(number: number): ServerId {
  return number.toString(16).padStart(32, "f") as ServerId;
}

/** Returns a length of at most `max`: often small, sometimes a multiple of the block size. */
export function randomLength(random: SeededRandom, max: number): number {
  const kind = random.integer(4);
  if (kind === 0) return 1 + random.integer(1000);
  if (kind === 1) return BLOCK_BYTES * (1 + random.integer(Math.floor(max / BLOCK_BYTES)));
  return 1 + random.integer(max);
}
