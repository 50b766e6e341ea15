import { AshlarError } from "../../shared/base/errors.ts";
import { parseDurationMs } from "../../shared/display/quantities.ts";
import {
  loadUserConfig,
  SETTING_KEYS,
  type SettingKey,
  type SettingValues,
} from "../../shared/platform/user-config.ts";
import type { OutputOptions } from "./output.ts";

/** The value of one setting and its origin. */
export interface Setting {
  readonly key: SettingKey;
  /** Empty if the setting has no value. */
  readonly value: string;
  /** "--timeout", "ASHLAR_TIMEOUT", the path of the config file, or "default". */
  readonly origin: string;
  /** The name of a cluster that means `value` in the config file. */
  readonly name?: string;
}

/** All settings by key. */
export type Settings = Readonly<Record<SettingKey, Setting>>;

const DEFAULTS: Readonly<Record<SettingKey, string>> = {
  cluster: "",
  color: "auto",
  progress: "auto",
  timeout: "30s",
  deadline: "",
};

/**
 * Merges the settings. Flags take precedence over the environment, the environment over the config
 * file, the config file over the defaults. An empty environment variable counts as unset.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if the config file cannot be used
 */
export async function loadSettings(
  flags: SettingValues,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<Settings> {
  const { values, clusters, path } = await loadUserConfig(environment);
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
  const found = Object.fromEntries(SETTING_KEYS.map((key) => [key, find(key)]));
  return { ...found, cluster: named(find("cluster"), clusters) } as Settings;
}

/** Replaces the name of a cluster by its directory or addresses. */
function named(setting: Setting, clusters: Readonly<Record<string, string>>): Setting {
  const name = setting.value;
  const value = Object.hasOwn(clusters, name) ? clusters[name] : undefined;
  return value === undefined ? setting : { ...setting, value, name };
}

/**
 * Returns the duration of a setting in ms; null if it has no value.
 *
 * @throws {AshlarError} INVALID_ARGUMENT with the origin of the value
 */
export function durationOf({ key, value, origin }: Setting): number | null {
  if (value === "") return null;
  const name = origin === `--${key}` ? origin : `${key} (${origin})`;
  return parseDurationMs(value, { name, bareUnit: "s" });
}

/** Returns "auto", "always" or "never". @throws {AshlarError} INVALID_ARGUMENT with the origin */
export function whenOf({ key, value, origin }: Setting): OutputOptions["color"] {
  if (value === "auto" || value === "always" || value === "never") return value;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use ${key} (${origin}): expected auto, always or never: current value is "${value}"`,
  );
}
