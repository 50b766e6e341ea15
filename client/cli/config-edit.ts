import { randomBytes } from "node:crypto";
import { mkdir, open, realpath, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AshlarError } from "../../shared/base/errors.ts";
import { publishFile } from "../../shared/platform/publish-file.ts";
import { loadUserConfig } from "../../shared/platform/user-config.ts";
import type { CliEnv } from "./cli-env.ts";
import { type ConfigEdit, editedConfig } from "./config-lines.ts";
import { whileLocked } from "./local/directory-lock.ts";

/** The user's config file as it is. */
export type UserConfig = Awaited<ReturnType<typeof loadUserConfig>>;

/**
 * Changes the user's config file. The file is replaced atomically by one that only its owner can
 * read, and two commands that change it at the same time lose no change.
 *
 * @param plan returns the edit of a config, or throws if it must not be made. It is called before
 *   and again after the file is locked.
 * @throws {AshlarError} of `plan`; INVALID_ARGUMENT if the form of the file has no place for the
 *   edit, or if it cannot be written; the file is then unchanged
 */
export async function editConfig(
  { variables }: CliEnv,
  plan: (config: UserConfig) => ConfigEdit,
): Promise<void> {
  const { path, ...before } = await loadUserConfig(variables);
  plan({ path, ...before });
  try {
    const target = await targetOfLink(path);
    const directory = dirname(target);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await whileLocked(directory, async () => {
      const config = await loadUserConfig(variables);
      const text = await editedConfig(config.text, path, plan(config));
      if (text !== config.text) await writeConfig(target, text, config.exists);
    });
  } catch (cause) {
    if (cause instanceof AshlarError) throw cause;
    const problem = (cause as Error).message;
    throw new AshlarError("INVALID_ARGUMENT", `Cannot write ${path}: ${problem}`, { cause });
  }
}

/** Returns the file behind a symbolic link: the link is kept. */
async function targetOfLink(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return path;
    throw error;
  }
}

async function writeConfig(path: string, text: string, replace: boolean): Promise<void> {
  const temporary = join(dirname(path), `.ashlar-config-${randomBytes(6).toString("hex")}`);
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await publishFile(temporary, path, { replace });
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
