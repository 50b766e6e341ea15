import { assert } from "../base/assert.ts";

/**
 * The names in a path of the Disk port; "" and "." are the data directory itself.
 *
 * Such paths are made by our own code, never by a user, so one that could leave the data directory
 * is a bug and stops the process.
 */
export function diskPathNames(path: string): readonly string[] {
  if (path === "" || path === ".") return [];
  const names = path.split("/");
  for (const name of names) {
    const leaves = name === "" || name === "." || name === ".." || name.includes("\0");
    assert(!leaves, `a disk path is relative and stays in its directory: ${JSON.stringify(path)}`);
  }
  return names;
}

/** The path of the directory that holds `path`. The data directory is its own. */
export function diskPathParent(path: string): string {
  return diskPathNames(path).slice(0, -1).join("/");
}
