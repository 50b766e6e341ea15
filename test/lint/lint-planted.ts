import { execFile } from "node:child_process";
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ROOT } from "../support/repository.ts";
import { TempDirectory } from "../support/temp-directory.ts";

const BIOME = join(ROOT, "node_modules", "@biomejs", "biome", "bin", "biome");
/** A line of the report: `::error title=lint/style/noEnum,file=/tree/client/x.ts,line=1,…` */
const FINDING = /^::error title=([^,]+),file=([^,]+),line=(\d+),/gm;

export interface Finding {
  readonly file: string;
  /** Line number, from 1. */
  readonly line: number;
  /** Last part of the name of the rule: `noEnum`. */
  readonly rule: string;
}

/**
 * Returns the findings of `biome check` with the settings of this tree in `sources`, sorted by
 * line.
 */
export async function lintPlanted(sources: ReadonlyMap<string, string>): Promise<Finding[]> {
  await using tree = await TempDirectory.make();
  for (const name of ["biome.json", "package.json", "tsconfig.json", ".gitignore"]) {
    await copyFile(join(ROOT, name), join(tree.path, name));
  }
  for (const [file, source] of sources) {
    await mkdir(dirname(join(tree.path, file)), { recursive: true });
    await writeFile(join(tree.path, file), source);
  }
  const report = await biomeCheck(tree.path);
  const findings = [...report.matchAll(FINDING)].map(([, title = "", file = "", line]) => ({
    file: file.slice(file.lastIndexOf(tree.path) + tree.path.length + 1),
    line: Number(line),
    rule: title.slice(title.lastIndexOf("/") + 1),
  }));
  return findings.sort((left, right) => left.line - right.line);
}

/** Returns the report. Findings are not an error. */
function biomeCheck(directory: string): Promise<string> {
  const flags = ["check", "--reporter=github", "--max-diagnostics=none", "--colors=off"];
  const options = { cwd: directory, maxBuffer: 64 * 1024 * 1024 };
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [BIOME, ...flags, "."], options, (error, stdout, stderr) => {
      if (error !== null && !stdout.includes("::error"))
        reject(new Error(stderr, { cause: error }));
      else resolve(stdout);
    });
  });
}
