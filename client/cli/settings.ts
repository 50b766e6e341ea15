import { AshlarError } from "../../shared/base/errors.ts";
import { type GlobalOptions, SETTING_KEYS, type SettingKey } from "./global-options.ts";
import type { OutputOptions } from "./output.ts";
import { parseDurationMs } from "./parse-values.ts";
import { loadUserConfig } from "./user-config.ts";

/** One setting, and where it came from. */
export interface Setting {
  readonly key: SettingKey;
  /** Empty: none. */
  readonly value: string;
  /** "--timeout", "ASHLAR_TIMEOUT", the path of the config file, or "default". */
  readonly origin: string;
}

export type Settings = Readonly<Record<SettingKey, Setting>>;

const DEFAULTS: Readonly<Record<SettingKey, string>> = {
  cluster: "",
  color: "auto",
  progress: "auto",
  timeout: "30s",
  deadline: "",
};

/**
 * Flags over environment over config file over defaults. An empty variable is none.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if the config file cannot be used
 */
export async function loadSettings(
  flags: GlobalOptions["flags"],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<Settings> {
  const { values, path } = await loadUserConfig(environment);
  const find = (key: SettingKey): Setting => {
    const flag = flags[key];
    if (flag !== undefined) return { key, value: flag, origin: `--${key}` };
    const variable = `ASHLAR_${key.toUpperCase()}`;
    const fromEnvironment = environment[variable] ?? "";
    if (fromEnvironment !== "") return { key, value: fromEnvironment, origin: variable };
    const fromFile = values[key];
    if (fromFile !== undefined) return { key, value: fromFile, origin: path };
    return { key, value: DEFAULTS[key], origin: "default" };
  };
  return Object.fromEntries(SETTING_KEYS.map((key) => [key, find(key)])) as unknown as Settings;
}

/** @throws {AshlarError} INVALID_ARGUMENT naming where the value came from */
export function durationOf({ key, value, origin }: Setting): number | null {
  if (value === "") return null;
  return parseDurationMs(value, origin === `--${key}` ? origin : `${key} (${origin})`);
}

/** "auto", "always" or "never". @throws {AshlarError} INVALID_ARGUMENT naming where it came from */
export function whenOf({ key, value, origin }: Setting): OutputOptions["color"] {
  if (value === "auto" || value === "always" || value === "never") return value;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use ${key} (${origin}): expected auto, always or never: it is "${value}"`,
  );
}
