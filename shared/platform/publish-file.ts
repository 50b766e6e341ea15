import { constants } from "node:fs";
import { link, open, rename, unlink } from "node:fs/promises";

const { O_CREAT, O_EXCL, O_WRONLY } = constants;
/** The mode of the empty file that reserves a name. */
const RESERVED_MODE = 0o600;
/** errno values of a file system without hard links. */
const NO_LINKS = ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK", "EINVAL"];

/**
 * Gives a complete file its final name. Both names are in one directory. Without `replace` the name
 * must be free: the system checks that in the same step, so a file that another process creates
 * before is never lost.
 *
 * @throws an error of the system with its errno in `code`: EEXIST if the name is in use and `replace`
 *   is false; `temporary` then still exists
 */
export async function publishFile(
  temporary: string | Buffer,
  path: string | Buffer,
  { replace }: { readonly replace: boolean },
): Promise<void> {
  if (replace) return rename(temporary, path);
  try {
    await link(temporary, path);
  } catch (error) {
    if (!NO_LINKS.includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    // Reserves the name with an empty file, which the rename replaces.
    await (await open(path, O_WRONLY | O_CREAT | O_EXCL, RESERVED_MODE)).close();
    return rename(temporary, path);
  }
  await unlink(temporary);
}
