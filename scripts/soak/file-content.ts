import { randomBytes } from "../sample-tree.ts";

const KIB = 1024;

/** Bytes that tell their stamp, so that a read of anything else shows: 40 B to 3 MiB of them. */
export function contentOf(stamp: number): Buffer {
  const header = Buffer.from(`stamp ${stamp}\n`);
  return Buffer.concat([header, randomBytes(sizeOf(stamp), stamp % 0x7fffffff)]);
}

/** Two in three files live inline, most of the others in one chunk, and some in a few frames. */
function sizeOf(stamp: number): number {
  if (stamp % 3 !== 0) return 24 + (stamp % 2000);
  return stamp % 60 === 0 ? 2500 * KIB + (stamp % 5000) : 20 * KIB + (stamp % 100) * KIB;
}

/** The stamp that `bytes` tell, or what is wrong with them. */
export function stampOfContent(bytes: Uint8Array): number | string {
  if (bytes.length === 0) return "no bytes";
  const head = Buffer.from(bytes.subarray(0, 40)).toString("latin1");
  const stamp = Number(/^stamp (\d+)\n/.exec(head)?.[1] ?? Number.NaN);
  if (Number.isNaN(stamp)) return `bytes without a stamp: ${JSON.stringify(head)}`;
  if (Buffer.compare(contentOf(stamp), bytes) === 0) return stamp;
  return `bytes that are not those of stamp ${stamp}: ${bytes.length} of them`;
}
