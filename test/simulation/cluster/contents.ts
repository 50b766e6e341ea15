import { SeededRandom } from "../../support/seeded-random.ts";

const HEADER_BYTES = 32;
/** A prime, so that blocks of a file do not repeat one another. */
const PATTERN_BYTES = 65_521;

/** Bytes of a file that tell which write they are of, all of them. */
export function contentOf(tag: string, lengthBytes: number): Uint8Array {
  const header = new TextEncoder().encode(`${tag} ${lengthBytes}\n`.padEnd(HEADER_BYTES, "."));
  const bytes = new Uint8Array(Math.max(HEADER_BYTES, lengthBytes));
  const pattern = patternOf(tag);
  for (let offset = 0; offset < bytes.length; offset += PATTERN_BYTES) {
    bytes.set(pattern.subarray(0, bytes.length - offset), offset);
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

function patternOf(tag: string): Uint8Array {
  let seed = 0;
  for (const character of tag) seed = (Math.imul(seed, 31) + (character.codePointAt(0) ?? 0)) >>> 0;
  const random = new SeededRandom(seed);
  const words = new Uint32Array(Math.ceil(PATTERN_BYTES / 4));
  for (let place = 0; place < words.length; place += 1) words[place] = random.fraction() * 2 ** 32;
  return new Uint8Array(words.buffer, 0, PATTERN_BYTES);
}
