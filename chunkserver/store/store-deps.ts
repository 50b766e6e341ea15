import type { Clock } from "../../shared/ports/clock.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { ChunkIndex } from "./chunk-index.ts";
import type { DiskHealth } from "./disk-health.ts";
import type { ExtentFiles } from "./extent-files.ts";
import type { LossReports } from "./loss-reports.ts";
import type { PackedFiles } from "./packed-files.ts";
import type { Reserve } from "./reserve.ts";
import type { RetentionDirectory } from "./retention-directory.ts";
import type { UnreadableCopies } from "./unreadable-copies.ts";

/**
 * The components of the store. Its operations (seal, purge, verify, rewrite) are functions over it.
 */
export interface StoreDeps {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly hasher: Hasher;
  readonly log: Log;
  readonly index: ChunkIndex;
  readonly losses: LossReports;
  readonly unreadable: UnreadableCopies;
  readonly files: ExtentFiles;
  readonly packed: PackedFiles;
  readonly reserve: Reserve;
  /** Corrupt replicas, kept for the operator. */
  readonly quarantine: RetentionDirectory;
  /** Extent files left over by a crash. */
  readonly garbage: RetentionDirectory;
  readonly health: DiskHealth;
}
