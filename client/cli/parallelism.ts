import { availableParallelism } from "node:os";
import type { OptionValues } from "./command.ts";
import type { ReplaceRule } from "./replace-flags.ts";

/** Small files are mostly waits for the servers and for syncs: many of them fill two cores. */
const SMALL_FILES_MAX = 64;
/** A small file is below this size. So at most 64 MiB of small files are in flight. */
const SMALL_FILE_BYTES = 1024 * 1024;

/** The items of a command that run at the same time: the sum of their weights is at most `weightMax`. */
export interface Parallelism {
  readonly weightMax: number;
  /** Returns the weight of a file, 1 to `weightMax`. */
  weightOf(sizeBytes: number): number;
}

/**
 * Returns how many files a transfer has in flight: 64 below 1 MiB, or twice as many as there are CPUs
 * and at most 8 of larger ones, or a mixture of both. `--parallel` sets one number for all sizes, and a
 * question is asked about one file at a time.
 */
export function parallelismOf(
  options: OptionValues,
  rule: ReplaceRule,
  cpuCount: number = availableParallelism(),
): Parallelism {
  const parallel = rule === "ask" ? 1 : (options["parallel"] as number | undefined);
  if (parallel !== undefined) return { weightMax: parallel, weightOf: () => 1 };
  const largeWeight = SMALL_FILES_MAX / largeFilesMax(cpuCount);
  return {
    weightMax: SMALL_FILES_MAX,
    weightOf: (sizeBytes) => (sizeBytes < SMALL_FILE_BYTES ? 1 : largeWeight),
  };
}

/** Returns 2, 4 or 8. */
function largeFilesMax(cpuCount: number): number {
  if (cpuCount >= 4) return 8;
  return cpuCount === 1 ? 2 : 4;
}
