import { readFile } from "node:fs/promises";
import { join, posix } from "node:path";

/** Specifiers of static imports, re-exports, `import()` and `import("…")` types that are relative. */
const SPECIFIER = /(?:(?<!\.)\bfrom\s*|\bimport\s*\(?\s*)"(\.[^"]+)"/g;

/**
 * Paths of the modules that `file` names by a relative specifier. Paths are from the root of the
 * package and have "/" between names.
 */
async function relativeImportsOf(root: string, file: string): Promise<readonly string[]> {
  const text = await readFile(join(root, file), "utf8");
  const code = text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  return [...code.matchAll(SPECIFIER)].map(([, specifier = ""]) =>
    posix.join(posix.dirname(file), specifier),
  );
}

/** All files that the entry points load, directly or through other modules; entry points included. */
export async function reachableFrom(
  root: string,
  entries: readonly string[],
  toFile: (path: string) => string = (path) => path,
): Promise<ReadonlySet<string>> {
  const reached = new Set(entries);
  // A set may grow while it is iterated: every file that is added is visited.
  for (const file of reached) {
    for (const path of await relativeImportsOf(root, file)) reached.add(toFile(path));
  }
  return reached;
}
