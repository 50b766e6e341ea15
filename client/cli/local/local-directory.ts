import { constants } from "node:fs";
import { mkdir, open, stat } from "node:fs/promises";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { LocalPath } from "../local-path.ts";
import { applyAttributes, type LocalAttributes } from "./local-attributes.ts";
import { localError } from "./local-error.ts";

/** The owner of a directory needs these bits to make entries in it. */
export const OWNER_BITS = 0o700;

/**
 * Makes a local directory and its missing parents.
 *
 * @param mode of the directory until `finishDirectory`. The umask applies.
 * @returns false if the directory existed
 * @throws {AshlarError} NOT_A_DIRECTORY if another file has the name; PERMISSION_DENIED, …
 */
export async function makeLocalDirectory(path: LocalPath, mode: number): Promise<boolean> {
  const { systemPath } = path;
  try {
    await mkdir(systemPath, { mode });
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") {
      await requireDirectory(path);
      return false;
    }
    if (code !== "ENOENT") throw localError(error, "make a directory at", path);
  }
  try {
    // Without a mode: it would apply to the parents, too.
    await mkdir(systemPath, { recursive: true });
    return true;
  } catch (error) {
    throw localError(error, "make a directory at", path);
  }
}

async function requireDirectory(path: LocalPath): Promise<void> {
  const stats = await stat(path.systemPath).catch(() => null); // Null: a dangling symbolic link.
  if (stats?.isDirectory() === true) return;
  throw new AshlarError(
    "NOT_A_DIRECTORY",
    `Cannot make the local directory ${path.text}: another file has this name`,
  );
}

/**
 * Sets the attributes of a directory, after all of its entries were made: they change its time, and
 * its mode can refuse them.
 *
 * @returns whether the owner was set
 */
export async function finishLocalDirectory(
  path: LocalPath,
  attributes: LocalAttributes,
): Promise<boolean> {
  const { O_DIRECTORY, O_RDONLY } = constants;
  try {
    await using file = await open(path.systemPath, O_RDONLY | O_DIRECTORY);
    return await applyAttributes(file.fd, attributes);
  } catch (error) {
    throw localError(error, "set the attributes of", path);
  }
}
