import { AshlarError } from "../../shared/base/errors.ts";
import type { CacheUse } from "../../shared/ports/disk.ts";
import { isIoError } from "./disk-health.ts";
import type { ExtentFile } from "./extent-files.ts";

/**
 * The result of a read of an extent.
 *
 * `short` and `unreadable` call for different actions. A short file has lost bytes for good. Bytes
 * that the disk cannot read now may be readable later: a cable, a path or a controller fails for all
 * copies at the same time.
 */
export type ExtentRead =
  | { readonly kind: "whole" }
  | { readonly kind: "short"; readonly countBytes: number }
  | { readonly kind: "unreadable"; readonly error: AshlarError };

/**
 * Fills `target` from the file. A read that fails or ends early is repeated with another descriptor:
 * past the page cache if it used the cache, and the other way round, then again as the first one.
 *
 * @throws {AshlarError} for a limit of the process, such as its number of descriptors
 */
export async function readExtent(
  file: ExtentFile,
  target: Uint8Array,
  offsetBytes: number,
  use: CacheUse,
): Promise<ExtentRead> {
  const first = await attempt(target, () => file.read(target, offsetBytes, use));
  if (first.kind === "whole") return first;
  return await readExtentAgain(file, target, offsetBytes, use, first);
}

/** The repetitions of `readExtent`, also for bytes that do not match their hash. */
export async function readExtentAgain(
  file: ExtentFile,
  target: Uint8Array,
  offsetBytes: number,
  use: CacheUse,
  first?: ExtentRead,
): Promise<ExtentRead> {
  let result = first;
  for (const again of [use === "keep" ? "disk" : "keep", use] as const) {
    const next = await attempt(target, () => file.readAgain(target, offsetBytes, again));
    if (next.kind === "whole") return next;
    // The file has no name: its chunk was stored again or purged.
    if (next.kind === "unreadable" && next.error.code === "NOT_FOUND") break;
    // An error leaves open whether the bytes exist.
    if (result === undefined || result.kind === "short") result = next;
  }
  return result ?? { kind: "short", countBytes: 0 };
}

async function attempt(target: Uint8Array, read: () => Promise<number>): Promise<ExtentRead> {
  try {
    const countBytes = await read();
    return countBytes === target.length ? { kind: "whole" } : { kind: "short", countBytes };
  } catch (error) {
    const isMissing = error instanceof AshlarError && error.code === "NOT_FOUND";
    if (!isIoError(error) && !isMissing) throw error;
    return { kind: "unreadable", error };
  }
}
