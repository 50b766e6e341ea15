import { SeededRandom } from "../../support/seeded-random.ts";

const HEADER_BYTES = 32;
/** A prime number, so that the blocks of a file differ. */
const NOISE_BYTES = 262_139;

const NOISE = makeNoise();

/**
 * Returns the content of a file for the write with this tag: a header with the tag and the length,
 * then random bytes that depend on the tag. Every block identifies the write.
 */
export function contentOf(tag: string, lengthBytes: number): Uint8Array {
  const header = new TextEncoder().encode(`${tag} ${lengthBytes}\n`.padEnd(HEADER_BYTES, "."));
  const bytes = new Uint8Array(Math.max(HEADER_BYTES, lengthBytes));
  // The start in the noise depends on the tag: two writes have different noise at each position.
  let from = hashOf(tag) % NOISE_BYTES;
  for (let offset = 0; offset < bytes.length; from = 0) {
    const part = NOISE.subarray(from, from + bytes.length - offset);
    bytes.set(part, offset);
    offset += part.length;
  }
  bytes.set(header, 0);
  return bytes;
}

/** Returns the tag of the write with exactly this content. Null if no write has this content. */
export function tagOf(bytes: Uint8Array): string | null {
  const header = new TextDecoder().decode(bytes.subarray(0, HEADER_BYTES));
  const found = /^(\S+) (\d+)\n/.exec(header);
  if (found === null) return null;
  const [, tag = "", length = ""] = found;
  const expected = contentOf(tag, Number(length));
  return Buffer.compare(expected, bytes) === 0 ? tag : null;
}

/** Returns FNV-1a of the tag. */
function hashOf(tag: string): number {
  let hash = 0x811c9dc5;
  for (const character of tag) {
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  }
  return hash;
}

function makeNoise(): Uint8Array {
  const random = new SeededRandom(1);
  const words = new Uint32Array(Math.ceil(NOISE_BYTES / 4));
  for (let index = 0; index < words.length; index += 1) words[index] = random.fraction() * 2 ** 32;
  return new Uint8Array(words.buffer, 0, NOISE_BYTES);
}
