import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import { NOT_STARTED } from "./disk-lanes.ts";
import type { Reserve } from "./reserve.ts";

/** Errors of these kinds mean a limit of the process or the machine, not a failure of the disk. */
const ERRNOS_OF_LIMITS = ["EMFILE", "ENFILE", "ENOMEM"];
/** Bytes of a file that count as one place of the disk: a damaged track may hold many small chunks. */
const PLACE_BYTES = 16 * 1024 * 1024;
/** If this number of places cannot be read within `PLACES_MS`, the disk fails and not its blocks. */
const FAILED_PLACES_MAX = 5;
const PLACES_MS = 60_000;

/**
 * Whether the disk accepts writes.
 *
 * A failed sync ends writing until the process restarts, because the state of the kernel's cache is
 * unknown (fsyncgate). A failed write does the same: a disk that refuses a write is failing or
 * gone, and writers must use other servers. Reads continue, because each reader verifies its
 * blocks. A full disk has not failed. It is reported to the reserve.
 *
 * One place that cannot be read is a damaged block. Several different ones within a minute are a
 * failing disk.
 */
export class DiskHealth {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #reserve: Reserve;
  #failure: unknown = null;
  /** Places that could not be read, and the monotonic time of the last failure of each. */
  readonly #failedPlaces = new Map<string, number>();

  constructor(deps: { readonly log: Log; readonly clock: Clock }, reserve: Reserve) {
    this.#log = deps.log;
    this.#clock = deps.clock;
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

  /** Records that a file could not be read at `offsetBytes`, with any descriptor. */
  noteReadFailure(file: string, offsetBytes: number, error: unknown): void {
    const nowMs = this.#clock.monotonicMs();
    this.#failedPlaces.set(`${file} ${Math.floor(offsetBytes / PLACE_BYTES)}`, nowMs);
    for (const [place, failedMs] of this.#failedPlaces) {
      if (failedMs < nowMs - PLACES_MS) this.#failedPlaces.delete(place);
    }
    if (this.#failedPlaces.size >= FAILED_PLACES_MAX) this.fail(error);
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
 * Returns whether the disk refused an operation: not a limit of the process, and not an operation that
 * `DiskLanes` has not started.
 */
export function isIoError(error: unknown): error is AshlarError {
  if (!isAshlarError(error, "DISK_FAILED") || error.details[NOT_STARTED] === true) return false;
  return !ERRNOS_OF_LIMITS.includes(String(error.details["errno"]));
}

/**
 * Returns whether the error is a failure of the disk. NOT_FOUND is one: the extents directory is
 * gone, for example because its file system was unmounted.
 */
function isOfDisk(error: unknown): boolean {
  return isIoError(error) || isAshlarError(error, "NOT_FOUND");
}
