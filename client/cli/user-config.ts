import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { AshlarError } from "../../shared/base/errors.ts";
import { nearestName } from "../../shared/platform/nearest-name.ts";
import { SETTING_KEYS, type SettingKey } from "./global-options.ts";

/** The user's own settings. Every key can also be given as a flag and as ASHLAR_*. */
type UserConfig = Readonly<Partial<Record<SettingKey, string>>>;

interface LoadedUserConfig {
  /** Where the file is, or would be. */
  readonly path: string;
  readonly exists: boolean;
  readonly values: UserConfig;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** ASHLAR_CONFIG, else config.toml under $XDG_CONFIG_HOME/ashlar (XDG Base Directory). */
function userConfigPath(environment: Environment): string {
  const named = environment["ASHLAR_CONFIG"] ?? "";
  if (named !== "") return named;
  const home = environment["XDG_CONFIG_HOME"] ?? "";
  return join(home === "" ? join(homedir(), ".config") : home, "ashlar", "config.toml");
}

/** The user's config file; a file that is not there is an empty one. @throws {AshlarError} INVALID_ARGUMENT */
export async function loadUserConfig(
  environment: Environment = process.env,
): Promise<LoadedUserConfig> {
  const path = userConfigPath(environment);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT") return { path, exists: false, values: {} };
    throw new AshlarError("INVALID_ARGUMENT", `Cannot read ${path}: ${message}`, { cause });
  }
  // Only now: most starts have no config file, and every module costs time.
  const { parse } = await import("smol-toml");
  let found: Readonly<Record<string, unknown>>;
  try {
    found = parse(text);
  } catch (cause) {
    const problem = (cause as Error).message.split("\n", 1)[0];
    throw new AshlarError("INVALID_ARGUMENT", `Cannot read ${path}: ${problem}`, { cause });
  }
  return { path, exists: true, values: checkedValues(path, found) };
}

function checkedValues(path: string, found: Readonly<Record<string, unknown>>): UserConfig {
  const keys: readonly string[] = SETTING_KEYS;
  for (const [key, value] of Object.entries(found)) {
    const nearest = nearestName(key, keys);
    const hint = nearest === null ? "ashlar help config" : `Did you mean ${nearest}?`;
    if (!keys.includes(key)) {
      throw new AshlarError("INVALID_ARGUMENT", `Cannot use ${path}: there is no key "${key}"`, {
        hint,
      });
    }
    if (typeof value === "string") continue;
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot use ${path}: expected "${key}" to be text in quotes`,
      { hint: "ashlar help config" },
    );
  }
  return found as UserConfig;
}
