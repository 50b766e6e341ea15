import { dirname, join } from "node:path/posix";

/** A relative specifier of a static or dynamic import, or of an export from another file. */
const SPECIFIER = /\b(?:from|import)\s*\(?\s*"(\.[^"]+)"/g;

/**
 * Returns every import cycle once, as the sorted list of files that import each other. Imports of
 * types count: Biome's noImportCycles ignores them.
 *
 * @param sources the text of every file by its path from the root of the tree
 */
export function findImportCycles(sources: ReadonlyMap<string, string>): string[][] {
  const imports = new Map([...sources].map(([file, text]) => [file, importsOf(file, text)]));
  const reachable = new Map(
    [...sources.keys()].map((file) => [file, reachableFrom(file, imports)]),
  );
  const cycles = new Map<string, string[]>();
  for (const [file, targets] of reachable) {
    if (!targets.has(file)) continue;
    const cycle = [...targets].filter((target) => reachable.get(target)?.has(file)).sort();
    cycles.set(cycle.join(" "), cycle);
  }
  return [...cycles.values()];
}

/** Returns the files that `start` imports directly or through others. */
function reachableFrom(
  start: string,
  imports: ReadonlyMap<string, readonly string[]>,
): ReadonlySet<string> {
  const found = new Set<string>();
  const pending = [start];
  for (let file = pending.pop(); file !== undefined; file = pending.pop()) {
    for (const imported of imports.get(file) ?? []) {
      if (found.has(imported)) continue;
      found.add(imported);
      pending.push(imported);
    }
  }
  return found;
}

/** Returns the paths that `text` imports, relative to the root of the tree. */
function importsOf(file: string, text: string): string[] {
  return [...text.matchAll(SPECIFIER)].map(([, specifier = ""]) => join(dirname(file), specifier));
}
