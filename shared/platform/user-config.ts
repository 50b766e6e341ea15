import { homedir } from "node:os";
import { join } from "node:path";
import { AshlarError } from "../base/errors.ts";
import { nearestName } from "./nearest-name.ts";
import { readTextFile } from "./readable-file.ts";

/** Keys of the user's config file. The CLI also takes each as a flag and as ASHLAR_*. */
export const SETTING_KEYS = ["cluster", "color", "progress", "timeout", "deadline"] as const;
export type SettingKey = (typeof SETTING_KEYS)[number];

/** Settings by key; a key without a value is absent. */
export type SettingValues = Readonly<Partial<Record<SettingKey, string>>>;

/** A larger config file is refused. */
const CONFIG_BYTES_MAX = 1024 * 1024;

/** Name of a cluster in the user's config file. */
const CLUSTER_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;

/** Returns whether `text` can be the name of a cluster. No list of masters is one. */
export function isClusterName(text: string): boolean {
  return CLUSTER_NAME.test(text);
}

interface LoadedUserConfig {
  /** Path of the file. It is set even if the file does not exist. */
  readonly path: string;
  readonly exists: boolean;
  /** The text of the file; empty if it does not exist. */
  readonly text: string;
  readonly values: SettingValues;
  /** The table `clusters`: by name a directory, or addresses of masters. */
  readonly clusters: Readonly<Record<string, string>>;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Returns ASHLAR_CONFIG, else $XDG_CONFIG_HOME/ashlar/config.toml (XDG Base Directory). */
function userConfigPath(environment: Environment): string {
  const named = environment["ASHLAR_CONFIG"] ?? "";
  if (named !== "") return named;
  const home = environment["XDG_CONFIG_HOME"] ?? "";
  return join(home === "" ? join(homedir(), ".config") : home, "ashlar", "config.toml");
}

/**
 * Reads the user's config file, which the CLI and the gateway share. A missing file is not an
 * error: the result has no values.
 *
 * @throws {AshlarError} INVALID_ARGUMENT for a file that cannot be read, an unknown key, or a value
 *   that is not a string
 */
export async function loadUserConfig(
  environment: Environment = process.env,
): Promise<LoadedUserConfig> {
  const path = userConfigPath(environment);
  let text: string;
  try {
    text = await readTextFile(path, { bytesMax: CONFIG_BYTES_MAX, isWaitRefused: true });
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT") return { path, exists: false, text: "", values: {}, clusters: {} };
    throw new AshlarError("INVALID_ARGUMENT", `Cannot read ${path}: ${message}`, { cause });
  }
  return { path, exists: true, text, ...(await parseUserConfig(text, path)) };
}

/**
 * Parses the text of the user's config file.
 *
 * @throws {AshlarError} INVALID_ARGUMENT
 */
export async function parseUserConfig(
  text: string,
  path: string,
): Promise<Pick<LoadedUserConfig, "values" | "clusters">> {
  // Loaded here and not at the top: most users have no config file, and each module slows the
  // start.
  const { parse } = await import("smol-toml");
  let found: Readonly<Record<string, unknown>>;
  try {
    found = parse(text);
  } catch (cause) {
    const problem = (cause as Error).message.split("\n", 1)[0];
    throw new AshlarError("INVALID_ARGUMENT", `Cannot read ${path}: ${problem}`, { cause });
  }
  const { clusters = {}, ...values } = found;
  return { values: checkedValues(path, values), clusters: checkedClusters(path, clusters) };
}

function checkedClusters(path: string, found: unknown): Readonly<Record<string, string>> {
  const isTable = typeof found === "object" && found !== null && !Array.isArray(found);
  const entries = Object.entries(isTable ? found : {});
  if (
    isTable &&
    entries.every(([name, where]) => isClusterName(name) && typeof where === "string")
  ) {
    return Object.fromEntries(entries) as Record<string, string>;
  }
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use ${path}: expected a table of names and strings for "clusters": current value is ${JSON.stringify(found)}`,
    { hint: "ashlar help config" },
  );
}

function checkedValues(path: string, found: Readonly<Record<string, unknown>>): SettingValues {
  const keys: readonly string[] = SETTING_KEYS;
  for (const [key, value] of Object.entries(found)) {
    if (!keys.includes(key)) {
      const nearest = nearestName(key, keys);
      const hint = nearest === null ? "ashlar help config" : `Did you mean ${nearest}?`;
      throw new AshlarError("INVALID_ARGUMENT", `Cannot use ${path}: unknown key "${key}"`, {
        hint,
      });
    }
    if (typeof value === "string") continue;
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot use ${path}: expected a string in quotes for "${key}": current value is ${JSON.stringify(value)}`,
      { hint: "ashlar help config" },
    );
  }
  return found as SettingValues;
}
