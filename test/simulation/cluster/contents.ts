import { SeededRandom } from "../../support/seeded-random.ts";

const HEADER_BYTES = 32;
/** A prime, so that blocks of a file do not repeat one another. */
const NOISE_BYTES = 262_139;

const noise = makeNoise();

/** Bytes of a file that tell which write they are of, all of them. */
export function contentOf(tag: string, lengthBytes: number): Uint8Array {
  const header = new TextEncoder().encode(`${tag} ${lengthBytes}\n`.padEnd(HEADER_BYTES, "."));
  const bytes = new Uint8Array(Math.max(HEADER_BYTES, lengthBytes));
  // Every write has another part of the noise at each place.
  let from = hashOf(tag) % NOISE_BYTES;
  for (let offset = 0; offset < bytes.length; from = 0) {
    const part = noise.subarray(from, from + bytes.length - offset);
    bytes.set(part, offset);
    offset += part.length;
  }
  bytes.set(header, 0);
  return bytes;
}

/** The tag of the write that wrote exactly these bytes; null if none did. */
export function tagOf(bytes: Uint8Array): string | null {
  const header = new TextDecoder().decode(bytes.subarray(0, HEADER_BYTES));
  const found = /^(\S+) (\d+)\n/.exec(header);
  if (found === null) return null;
  const [, tag = "", length = ""] = found;
  const wanted = contentOf(tag, Number(length));
  return Buffer.compare(wanted, bytes) === 0 ? tag : null;
}

/** FNV-1a. */
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
  for (let place = 0; place < words.length; place += 1) words[place] = random.fraction() * 2 ** 32;
  return new Uint8Array(words.buffer, 0, NOISE_BYTES);
}
