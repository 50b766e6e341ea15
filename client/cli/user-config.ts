import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { parse } from "smol-toml";
import * as v from "valibot";
import { AshlarError } from "../../shared/base/errors.ts";

/** The user's own settings. Every key can also be given as a flag and as ASHLAR_*. */
const userConfigSchema = v.strictObject({
  /** A directory made by `ashlar cluster up`, or a list of masters. */
  cluster: v.optional(v.string()),
  color: v.optional(v.picklist(["auto", "always", "never"])),
  progress: v.optional(v.picklist(["auto", "always", "never"])),
  timeout: v.optional(v.string()),
});

export type UserConfig = v.InferOutput<typeof userConfigSchema>;

export interface LoadedUserConfig {
  /** Where the file is, or would be. */
  readonly path: string;
  readonly exists: boolean;
  readonly values: UserConfig;
}

/** ASHLAR_CONFIG, else config.toml under $XDG_CONFIG_HOME/ashlar (XDG Base Directory). */
export function userConfigPath(): string {
  const named = process.env["ASHLAR_CONFIG"] ?? "";
  if (named !== "") return named;
  const home = process.env["XDG_CONFIG_HOME"] ?? "";
  return join(home === "" ? join(homedir(), ".config") : home, "ashlar", "config.toml");
}

/** The user's config file; a file that is not there is an empty one. @throws {AshlarError} INVALID_ARGUMENT */
export async function loadUserConfig(): Promise<LoadedUserConfig> {
  const path = userConfigPath();
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT")
      return { path, exists: false, values: {} };
    throw new AshlarError("INVALID_ARGUMENT", `Cannot read ${path}: ${(error as Error).message}`, {
      cause: error,
    });
  }
  try {
    return { path, exists: true, values: v.parse(userConfigSchema, parse(text)) };
  } catch (error) {
    throw new AshlarError("INVALID_ARGUMENT", `Cannot use ${path}: ${(error as Error).message}`, {
      hint: "ashlar help config",
      cause: error,
    });
  }
}
