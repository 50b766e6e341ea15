import type { CommandDefinition } from "./command.ts";
import { CLUSTER_COMMANDS } from "./table-cluster.ts";
import { DATA_COMMANDS } from "./table-data.ts";
import { HISTORY_COMMANDS } from "./table-history.ts";
import { MASTER_COMMANDS } from "./table-masters.ts";
import { NAMESPACE_COMMANDS } from "./table-namespace.ts";

/** All commands of the CLI, in the order of `ashlar --help`. */
export const COMMANDS: readonly CommandDefinition[] = [
  ...DATA_COMMANDS,
  ...NAMESPACE_COMMANDS,
  ...HISTORY_COMMANDS,
  ...MASTER_COMMANDS,
  ...CLUSTER_COMMANDS,
];
