/**
 * Refuses idioms that a reader has to translate: `npm run check:language [-- FILE…]`.
 *
 * Without files it reads every tracked source, script and Markdown page. The table of idioms and
 * their replacements is in `scripts/language/banned-idioms.ts`.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { findInMarkdown, findInSource, type IdiomFinding } from "./language/find-idioms.ts";

/** Files that contain the words themselves: the table, its test, and a list of function words. */
const EXEMPT = [
  "scripts/language/banned-idioms.ts",
  "scripts/check-commits.mjs",
  "test/scripts/language.test.ts",
];

const files = process.argv.length > 2 ? process.argv.slice(2) : trackedFiles();
const reports = files
  .filter((file) => !EXEMPT.includes(file))
  .flatMap((file) => findingsOf(file).map((finding) => describeFinding(file, finding)));
for (const report of reports) console.error(report);
if (reports.length > 0) {
  console.error(`${reports.length} idioms. Rewrite the sentence: see CONTRIBUTING.md, "Language".`);
}
process.exitCode = reports.length > 0 ? 1 : 0;

function trackedFiles(): string[] {
  const patterns = ["*.ts", "*.mjs", "*.md", "*.txt"];
  const list = execFileSync("git", ["ls-files", "-z", ...patterns], { encoding: "utf8" });
  return list.split("\0").filter((file) => file !== "");
}

function findingsOf(file: string): IdiomFinding[] {
  const text = readFileSync(file, "utf8");
  return /\.(?:md|txt)$/.test(file) ? findInMarkdown(text) : findInSource(text);
}

function describeFinding(file: string, { line, found, replacement }: IdiomFinding): string {
  return `${file}:${line}: "${found}": use plain words (${replacement})`;
}
