import { randomBytes } from "../sample-tree.ts";

const KIB = 1024;

/**
 * Returns 40 B to 3 MiB of content that contains its stamp, so that any other content is detected.
 */
export function contentOf(stamp: number): Buffer {
  const header = Buffer.from(`stamp ${stamp}\n`);
  return Buffer.concat([header, randomBytes(sizeOf(stamp), stamp % 0x7fffffff)]);
}

/**
 * Returns the size of a file in bytes. Two of three files are inline. Most other files have one
 * chunk of one frame, and one of twenty has several frames.
 */
function sizeOf(stamp: number): number {
  if (stamp % 3 !== 0) return 24 + (stamp % 2000);
  return stamp % 60 === 0 ? 2500 * KIB + (stamp % 5000) : 20 * KIB + (stamp % 100) * KIB;
}

/** Returns the stamp in `bytes`, or a description of the damage. */
export function stampOfContent(bytes: Uint8Array): number | string {
  if (bytes.length === 0) return "no bytes";
  const head = Buffer.from(bytes.subarray(0, 40)).toString("latin1");
  const stamp = Number(/^stamp (\d+)\n/.exec(head)?.[1] ?? Number.NaN);
  if (Number.isNaN(stamp)) return `bytes without a stamp: ${JSON.stringify(head)}`;
  if (Buffer.compare(contentOf(stamp), bytes) === 0) return stamp;
  return `${bytes.length} bytes that do not match stamp ${stamp}`;
}
