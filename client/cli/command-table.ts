import type { CommandDefinition } from "./command.ts";
import { CHANGE_COMMANDS } from "./table-changes.ts";
import { CLUSTER_COMMANDS } from "./table-cluster.ts";
import { DATA_COMMANDS } from "./table-data.ts";
import { HISTORY_COMMANDS } from "./table-history.ts";
import { LISTING_COMMANDS } from "./table-listing.ts";
import { MASTER_COMMANDS } from "./table-masters.ts";

/** All commands of the CLI, in the order of `ashlar --help`. */
export const COMMANDS: readonly CommandDefinition[] = [
  ...DATA_COMMANDS,
  ...LISTING_COMMANDS,
  ...CHANGE_COMMANDS,
  ...HISTORY_COMMANDS,
  ...MASTER_COMMANDS,
  ...CLUSTER_COMMANDS,
];
