import type { Stats } from "node:fs";
import { lstat, readlink, stat } from "node:fs/promises";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { LocalPath } from "../local-path.ts";
import { localError } from "./local-error.ts";

const SLASH = 0x2f;
/** Links that one path may have, as in Linux. */
const LINKS_MAX = 40;

/** The file at a path that a command writes. */
export type LocalTarget =
  | { readonly kind: "missing"; readonly path: LocalPath }
  /** A regular file. `path` is the file itself, behind all symbolic links. */
  | { readonly kind: "file"; readonly path: LocalPath; readonly stats: Stats }
  /** A symbolic link to a name that does not exist, which is `path`. */
  | { readonly kind: "dangling"; readonly path: LocalPath }
  | { readonly kind: "directory"; readonly path: LocalPath }
  /** A FIFO, a socket or a device: it is written to and not replaced. */
  | { readonly kind: "special"; readonly path: LocalPath; readonly stats: Stats };

/** Examines the file at a path. Symbolic links are followed, as cp(1) does. @throws {AshlarError} */
export async function examineTarget(path: LocalPath): Promise<LocalTarget> {
  const own = await statsOf(path, lstat);
  const isLink = own?.isSymbolicLink() === true;
  const stats = isLink ? await statsOf(path, stat) : own;
  if (stats !== null && !stats.isFile()) {
    return stats.isDirectory() ? { kind: "directory", path } : { kind: "special", path, stats };
  }
  const behind = isLink ? await followLinks(path) : path;
  if (stats !== null) return { kind: "file", path: behind, stats };
  return isLink ? { kind: "dangling", path: behind } : { kind: "missing", path };
}

/** Returns the path behind all symbolic links in the last name of `path`. */
async function followLinks(path: LocalPath): Promise<LocalPath> {
  let current = path;
  for (let count = 0; count < LINKS_MAX; count += 1) {
    if ((await statsOf(current, lstat))?.isSymbolicLink() !== true) return current;
    const link = await readlink(current.systemPath, { encoding: "buffer" });
    current = link[0] === SLASH ? current.withBytes(link) : directoryOf(current).join(link);
  }
  throw new AshlarError("INVALID_ARGUMENT", `Cannot write ${path.text}: too many symbolic links`);
}

/** Returns the directory of a path; "." for a name in the working directory. */
export function directoryOf(path: LocalPath): LocalPath {
  const slash = path.bytes.lastIndexOf(SLASH);
  if (slash === 0) return path.withBytes(Buffer.of(SLASH));
  return path.withBytes(slash < 0 ? Buffer.from(".") : path.bytes.subarray(0, slash));
}

async function statsOf(
  path: LocalPath,
  read: (path: Buffer) => Promise<Stats>,
): Promise<Stats | null> {
  try {
    return await read(path.systemPath);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw localError(error, "write", path);
  }
}
