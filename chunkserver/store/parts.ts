import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Aside } from "./aside.ts";
import type { ChunkIndex } from "./chunk-index.ts";
import type { ExtentFiles } from "./extent-files.ts";
import type { PackedFiles } from "./packed-files.ts";
import type { Reserve } from "./reserve.ts";

/** What the store is made of. Its jobs (seal, purge, examine, rewrite) are functions over it. */
export interface StoreParts {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly hasher: Hasher;
  readonly log: Log;
  readonly index: ChunkIndex;
  readonly files: ExtentFiles;
  readonly packed: PackedFiles;
  readonly reserve: Reserve;
  /** Rotten copies, for the operator. */
  readonly quarantine: Aside;
  /** Extent files that a crash left over. */
  readonly garbage: Aside;
  readonly health: DiskHealth;
}

/** A call that fails with these has met a limit of the process or the machine: not the disk's fault. */
const ERRNOS_OF_LIMITS = ["EMFILE", "ENFILE", "ENOMEM"];

/**
 * Whether the disk can be written to. A failed sync ends that until the process is restarted: what
 * the kernel holds is unknown (fsyncgate). So does a failed write, for a disk that refuses one is
 * sick or gone: writers shall go to other servers. Reads go on; every block is verified by its
 * reader. A disk that is full is not sick: the reserve hears of it.
 */
export class DiskHealth {
  readonly #log: Log;
  readonly #reserve: Reserve;
  #failure: unknown = null;

  constructor(log: Log, reserve: Reserve) {
    this.#log = log;
    this.#reserve = reserve;
  }

  /** null: the disk works. */
  get failure(): unknown {
    return this.#failure;
  }

  /** A write, or the making of a file, was refused with `error`. */
  noteWriteFailure(error: unknown): void {
    if (isAshlarError(error, "NO_SPACE")) this.#reserve.noteFull(error);
    else if (isOfDisk(error)) this.fail(error);
  }

  /** Nothing more is to be written. */
  fail(error: unknown): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#log.error("The disk failed: this server takes no more writes until it is restarted", {
      error,
    });
  }

  /** @throws {AshlarError} DISK_FAILED */
  requireWritable(): void {
    if (this.#failure === null) return;
    throw new AshlarError("DISK_FAILED", "Cannot write: the disk of this server has failed", {
      cause: this.#failure,
      hint: "Check the disk, then restart the server or replace it",
    });
  }
}

/** NOT_FOUND: the directory of extents is gone, for example with the file system below it. */
function isOfDisk(error: unknown): boolean {
  if (!(error instanceof AshlarError)) return false;
  const isLimit = ERRNOS_OF_LIMITS.includes(String(error.details["errno"]));
  return (error.code === "DISK_FAILED" && !isLimit) || error.code === "NOT_FOUND";
}
