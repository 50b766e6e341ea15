import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";

/** Folders whose tests need the build and last for a minute: `npm run dev` does not run them. */
const SLOW = /^test\/(?:cluster|package)(?:\/|$)/;

/**
 * Returns the parameters of `npm test` that select the tests of changed files: a test file itself,
 * or the folder in `test/` that mirrors the folder of the file. If that folder contains no tests,
 * its nearest parent with tests is selected.
 *
 * @param root the root of the repository
 * @param changed paths from the root, with "/" between names
 * @returns sorted, without repetition; empty if no quick test belongs to the files
 */
export function touchedTests(root: string, changed: Iterable<string>): readonly string[] {
  const selected = new Set<string>();
  for (const path of changed) {
    if (path.endsWith(".test.ts")) {
      if (existsSync(join(root, path))) selected.add(path);
      continue;
    }
    let folder = dirname(path);
    if (folder !== "test" && !folder.startsWith("test/")) folder = `test/${folder}`;
    while (folder !== "test" && !containsTests(join(root, folder))) folder = dirname(folder);
    // For a file in test/ itself all tests would run.
    if (folder !== "test") selected.add(`${folder}/`);
  }
  return [...selected].filter((each) => !SLOW.test(each)).sort();
}

/** Returns whether a test file is in `folder` or below it. */
function containsTests(folder: string): boolean {
  if (!existsSync(folder)) return false;
  return readdirSync(folder, { recursive: true }).some((name) => String(name).endsWith(".test.ts"));
}
