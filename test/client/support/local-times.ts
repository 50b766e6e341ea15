import type { BigIntStats } from "node:fs";
import { lstat, utimes } from "node:fs/promises";

/** Sets a time in milliseconds, also before 1970. Node takes a negative number for the present. */
export async function setTime(path: string | Buffer, mtimeMs: number): Promise<void> {
  const seconds = String(mtimeMs / 1000 + 5e-7);
  await utimes(path, seconds, seconds);
}

/** Time of modification in whole milliseconds, rounded down. */
export function timeOf({ mtimeNs }: BigIntStats): number {
  return Number((mtimeNs - (((mtimeNs % 1_000_000n) + 1_000_000n) % 1_000_000n)) / 1_000_000n);
}

export const statsOf = (path: string | Buffer): Promise<BigIntStats> =>
  lstat(path, { bigint: true });
