import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import type { Log } from "../../shared/ports/log.ts";
import { REPLACE_HINT } from "../lost-entries.ts";

/** Added to the name of a damaged segment. The log does not read such a file. */
const DAMAGED_SUFFIX = ".damaged";

/** Dependencies of `LeftOutSegments.settle`. */
export interface LeftOutDeps {
  readonly disk: Disk;
  readonly log: Log;
  readonly directory: string;
}

/**
 * The segments before the beginning of a log that has damage. The log begins at the first segment after
 * the damage, as if a compaction had removed the segments before it: the header of a segment has what is
 * needed to read the log from there on. Nothing is lost if the durable state has their entries.
 */
export class LeftOutSegments {
  /** Paths of segments with damage. */
  readonly #damaged: string[] = [];
  /** Paths of segments in which no damage was found, oldest first. */
  readonly #intact: string[] = [];
  #error: AshlarError | null = null;

  /** The last damage that was found. Null if the log has none. */
  get error(): AshlarError | null {
    return this.#error;
  }

  /** Adds damage, and the segments before it. */
  add(
    error: AshlarError,
    segments: { readonly damaged: readonly string[]; readonly intact: readonly string[] },
  ): void {
    this.#error = error;
    this.#damaged.push(...segments.damaged);
    this.#intact.push(...segments.intact);
  }

  /**
   * Renames the damaged segments and removes the others, if the durable state has all entries up to the
   * beginning of the log.
   *
   * @throws {AshlarError} LOG_CORRUPT, or DISK_FAILED of an unreadable segment, if it does not have them:
   *   nothing was changed; DISK_FAILED of a change
   */
  async settle(
    { disk, log, directory }: LeftOutDeps,
    { baseIndex, durableIndex }: { readonly baseIndex: LogIndex; readonly durableIndex: LogIndex },
  ): Promise<void> {
    if (this.#error === null) return;
    if (durableIndex < baseIndex) throw neededError(this.#error, baseIndex, durableIndex);
    const renamed: string[] = [];
    for (const path of this.#damaged) {
      renamed.push(`${path}${DAMAGED_SUFFIX}`);
      await disk.rename(path, `${path}${DAMAGED_SUFFIX}`);
    }
    await disk.syncDirectory(directory);
    for (const path of this.#intact) await disk.remove(path);
    await disk.syncDirectory(directory);
    log.warn(
      "Left out the beginning of the log, which is damaged. Nothing is lost: the state has its entries. Masters that need them get the state instead. The renamed files are kept for analysis and can be removed",
      {
        error: this.#error,
        lastIndexLeftOut: baseIndex,
        durableIndex,
        renamed,
        removed: this.#intact,
      },
    );
  }
}

function neededError(error: AshlarError, baseIndex: LogIndex, durableIndex: LogIndex): AshlarError {
  return new AshlarError(
    error.code,
    `${error.message}: the entries ${durableIndex + 1} to ${baseIndex} are needed, because the state does not have them`,
    {
      cause: error,
      details: error.details,
      hint: error.hint ?? REPLACE_HINT,
    },
  );
}
