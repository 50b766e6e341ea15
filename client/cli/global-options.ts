import type { OptionDefinition } from "./command.ts";

/** Settings that have a flag, an environment variable and a key in the config file. */
export const SETTING_KEYS = ["cluster", "color", "progress", "timeout", "deadline"] as const;
export type SettingKey = (typeof SETTING_KEYS)[number];

/** What every command takes, as it was given on the command line. */
export interface GlobalOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: number;
  /** Settings that stand on the command line. */
  readonly flags: Readonly<Partial<Record<SettingKey, string>>>;
}

const WHEN = ["auto", "always", "never"] as const;

export const GLOBAL_OPTIONS: readonly OptionDefinition[] = [
  {
    flags: "--cluster <where>",
    description: "a directory made by `cluster up`, or HOST:PORT,… of masters (ASHLAR_CLUSTER)",
  },
  { flags: "--json", description: "print JSON: one object a line; errors too, on stderr" },
  { flags: "-q, --quiet", description: "print nothing but data and errors" },
  { flags: "-v, --verbose", description: "say more; -vv says still more", isCounted: true },
  { flags: "--color <when>", description: "colour (ASHLAR_COLOR)", choices: WHEN },
  { flags: "--progress <when>", description: "progress bars (ASHLAR_PROGRESS)", choices: WHEN },
  {
    flags: "--timeout <duration>",
    description: "for one call to the cluster: 500ms, 30s, 2m; default 30s (ASHLAR_TIMEOUT)",
  },
  {
    flags: "--deadline <duration>",
    description: "for the whole command, which then ends with status 124 (ASHLAR_DEADLINE)",
  },
];
