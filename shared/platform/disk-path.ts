import { assert } from "../base/assert.ts";

/**
 * Returns the names in a path of the Disk port; "" and "." are the data directory itself.
 *
 * These paths come from the code, never from a user. A path that could leave the data directory is
 * therefore a bug: an assertion fails.
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

/** Returns the parent directory of `path`. The data directory is its own parent. */
export function diskPathParent(path: string): string {
  return diskPathNames(path).slice(0, -1).join("/");
}
