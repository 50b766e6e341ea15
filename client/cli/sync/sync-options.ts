import type { NameFilter } from "../name-filter.ts";
import type { ReplaceRule } from "../replace-flags.ts";

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
