import { AshlarError } from "../../shared/base/errors.ts";
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

/**
 * Whether the disk can be written to. A failed sync ends that until the process is restarted: what
 * the kernel holds is unknown (fsyncgate). Reads go on; every block is verified by its reader.
 */
export class DiskHealth {
  readonly #log: Log;
  #failure: unknown = null;

  constructor(log: Log) {
    this.#log = log;
  }

  /** null: the disk works. */
  get failure(): unknown {
    return this.#failure;
  }

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
