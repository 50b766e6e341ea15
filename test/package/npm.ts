import { execFile } from "node:child_process";
import { ROOT } from "../support/repository.ts";

/** The error codes with which npm reports that it cannot reach its registry. */
const UNREACHABLE = /\b(?:ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH)\b/;

export interface ProcessResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The package as `npm pack` makes it. */
export interface PackedPackage {
  /** Path of the tarball. */
  readonly tarball: string;
  /** Paths of the packed files from the root of the package, sorted. */
  readonly files: readonly string[];
}

/** Runs a program to its end. Resolves with its exit status, also where it fails. */
export function run(
  program: string,
  programArguments: readonly string[],
  options: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> },
): Promise<ProcessResult> {
  return new Promise((resolve) => {
    const env = { ...process.env, ...options.env };
    const maxBuffer = 16 * 1024 * 1024;
    // npm is a batch file on Windows, which needs a shell.
    const shell = process.platform === "win32";
    const settings = { cwd: options.cwd, env, maxBuffer, shell, encoding: "utf8" } as const;
    execFile(program, [...programArguments], settings, (error, stdout, stderr) => {
      const code = error === null ? 0 : error.code;
      resolve({ status: typeof code === "number" ? code : -1, stdout, stderr });
    });
  });
}

/** Runs `npm pack` in the repository; the tarball is written to `directory`. */
export async function packRepository(directory: string): Promise<PackedPackage> {
  const parameters = ["pack", "--json", "--pack-destination", directory];
  const { status, stdout, stderr } = await run("npm", parameters, { cwd: ROOT });
  if (status !== 0) throw new Error(`npm pack failed: ${stderr}`);
  const list = JSON.parse(stdout);
  const [{ filename, files }] = list as [{ filename: string; files: { path: string }[] }];
  return { tarball: `${directory}/${filename}`, files: files.map(({ path }) => path).sort() };
}

/**
 * Installs the tarball in `directory`, which is empty. Dependencies come from npm's cache or from
 * the registry that npm uses on this machine.
 *
 * @returns null, or why the installation is impossible here: npm cannot reach its registry.
 */
export async function installTarball(directory: string, tarball: string): Promise<string | null> {
  const flags = ["--prefer-offline", "--no-audit", "--no-fund", "--fetch-retries=1"];
  const { status, stderr } = await run("npm", ["install", ...flags, tarball], { cwd: directory });
  if (status === 0) return null;
  if (UNREACHABLE.test(stderr)) return "npm cannot reach its registry";
  throw new Error(`npm install failed: ${stderr}`);
}
