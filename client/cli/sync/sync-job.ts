import type { CommandContext } from "../command.ts";
import type { PendingTasks } from "../local/pending-tasks.ts";
import type { SyncOptions } from "./sync-options.ts";
import type { SyncPair } from "./sync-pair.ts";
import type { SyncReport } from "./sync-report.ts";

/** Context of one sync. */
export interface SyncJob {
  readonly context: CommandContext;
  readonly pair: SyncPair;
  readonly options: SyncOptions;
  readonly report: SyncReport;
  /** Steps that are running. */
  readonly pending: PendingTasks;
}

/** Work on one entry. Steps may run at the same time. */
export interface SyncStep {
  (): Promise<void>;
  /** Size of the file that the step transfers. */
  readonly sizeBytes?: number;
}
