import type { CommandContext } from "../command.ts";
import type { PendingTasks } from "../local/pending-tasks.ts";
import type { NameFilter } from "../name-filter.ts";
import type { ReplaceRule } from "../replace-flags.ts";
import type { SyncPair } from "./sync-pair.ts";
import type { SyncReport } from "./sync-report.ts";

/** The options of one sync. */
export interface SyncOptions {
  /** `refuse`, the rule without an option, replaces: the command itself is the request. */
  readonly rule: ReplaceRule;
  readonly isChecksum: boolean;
  readonly isPreserved: boolean;
  readonly isDryRun: boolean;
  readonly isDeleting: boolean;
  /** Whether entries are deleted without a question. */
  readonly isConfirmed: boolean;
  readonly filter: NameFilter;
  /** Whether `filter` leaves out anything. */
  readonly isFiltered: boolean;
}

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
export type SyncStep = () => Promise<void>;
