import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Reserve } from "./reserve.ts";

/** Errors of these kinds mean a limit of the process or the machine, not a failure of the disk. */
const ERRNOS_OF_LIMITS = ["EMFILE", "ENFILE", "ENOMEM"];

/**
 * Whether the disk accepts writes.
 *
 * A failed sync ends writing until the process restarts, because the state of the kernel's cache is
 * unknown (fsyncgate). A failed write does the same: a disk that refuses a write is failing or
 * gone, and writers must use other servers. Reads continue, because each reader verifies its
 * blocks. A full disk has not failed. It is reported to the reserve.
 */
export class DiskHealth {
  readonly #log: Log;
  readonly #reserve: Reserve;
  #failure: unknown = null;

  constructor(log: Log, reserve: Reserve) {
    this.#log = log;
    this.#reserve = reserve;
  }

  /** Reason why the disk accepts no writes. Null while it works. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Records that a write or the creation of a file was refused with `error`. */
  noteWriteFailure(error: unknown): void {
    if (isAshlarError(error, "NO_SPACE")) this.#reserve.noteFull(error);
    else if (isOfDisk(error)) this.fail(error);
  }

  /** Stops all further writes. Logs the first failure. */
  fail(error: unknown): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#log.error("The disk failed: this server accepts no writes until it is restarted", {
      error,
    });
  }

  /**
   * The index calls it before it commits a promise about bytes. Others call it to refuse a write at
   * its start.
   *
   * @throws {AshlarError} DISK_FAILED
   */
  requireWritable(): void {
    if (this.#failure === null) return;
    throw new AshlarError("DISK_FAILED", "Cannot write: the disk of this server has failed", {
      cause: this.#failure,
      hint: "Check the disk, then restart the server or replace it",
    });
  }
}

/**
 * Returns whether the error is a failure of the disk. NOT_FOUND is one: the extents directory is
 * gone, for example because its file system was unmounted.
 */
function isOfDisk(error: unknown): boolean {
  if (!(error instanceof AshlarError)) return false;
  const isLimit = ERRNOS_OF_LIMITS.includes(String(error.details["errno"]));
  return (error.code === "DISK_FAILED" && !isLimit) || error.code === "NOT_FOUND";
}
