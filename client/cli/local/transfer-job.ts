import type { CommandContext, OptionValues } from "../command.ts";
import type { NameFilter } from "../name-filter.ts";
import type { ReplaceRule } from "../replace-flags.ts";
import type { TargetClaims } from "../target-claims.ts";
import type { TransferReport } from "../transfer-report.ts";
import type { PendingTasks } from "./pending-tasks.ts";

/** Context of all transfers of one `get` or `put`. */
export interface TransferJob {
  readonly context: CommandContext;
  readonly options: OptionValues;
  readonly report: TransferReport;
  readonly filter: NameFilter;
  readonly rule: ReplaceRule;
  readonly claims: TargetClaims;
  /** Files that are being transferred. */
  readonly pending: PendingTasks;
}
