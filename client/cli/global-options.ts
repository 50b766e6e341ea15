import type { SettingValues } from "../../shared/platform/user-config.ts";
import type { OptionDefinition } from "./command.ts";

/** Values of the options that every command takes, from the command line alone. */
export interface GlobalOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  /** 0, 1 for -v, 2 for -vv. */
  readonly verbose: number;
  /** Settings that the command line gives. */
  readonly flags: SettingValues;
}

const WHEN = ["auto", "always", "never"] as const;

/** Options that every command takes, before or after its name. */
export const GLOBAL_OPTIONS: readonly OptionDefinition[] = [
  {
    flags: "--cluster <where>",
    description:
      "a directory made by `cluster up`, HOST:PORT,… of masters, or a name of `cluster list` (ASHLAR_CLUSTER)",
    valueKind: "cluster-address",
  },
  { flags: "--json", description: "print JSON, one object per line; errors on stderr, too" },
  { flags: "-q, --quiet", description: "print only data and errors" },
  { flags: "-v, --verbose", description: "print more; -vv prints most", isCounted: true },
  { flags: "--color <when>", description: "use colour (ASHLAR_COLOR)", choices: WHEN },
  {
    flags: "--progress <when>",
    description: "draw progress bars (ASHLAR_PROGRESS)",
    choices: WHEN,
  },
  {
    flags: "--timeout <duration>",
    description: "limit of one call to the cluster: 500ms, 30s, 2m; default 30s (ASHLAR_TIMEOUT)",
    valueKind: "text",
  },
  {
    flags: "--deadline <duration>",
    description: "limit of the whole command, which then exits with status 124 (ASHLAR_DEADLINE)",
    valueKind: "text",
  },
];
