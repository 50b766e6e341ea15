import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { runTool } from "../soak/run-tool.ts";

/** The last commit of version 0.1.0. */
const COMMIT = "f9903aaacd9164f546c43409c2143cf9e20c1146";
export const OLD_VERSION = "0.1.0";
/** Packages that only parts use which do not run here: the gateway of version 0.1.0. */
const UNUSED_PACKAGES = new Set(["range-parser"]);

/**
 * Exports version 0.1.0 from the history of the repository at `root` into the directory `target`, links the
 * installed packages, and compiles it.
 *
 * @returns the path of its launcher
 * @throws {Error} if the history lacks the commit, or a package is not installed in the version that
 *   0.1.0 pins
 */
export async function exportOldVersion(root: string, target: string): Promise<string> {
  await requireCommit(root);
  await mkdir(target);
  const archive = `${target}.tar`;
  await runTool("git", ["-C", root, "archive", "--output", archive, COMMIT]);
  await runTool("tar", ["-xf", archive, "-C", target]);
  await requirePackages(root, target);
  await linkPackages(root, target);
  const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
  const settings = ["-p", join(target, "tsconfig.build.json"), "--noCheck"];
  await runTool(process.execPath, [compiler, ...settings]);
  return join(target, "scripts", "ashlar");
}

async function requireCommit(root: string): Promise<void> {
  try {
    await runTool("git", ["-C", root, "cat-file", "-e", `${COMMIT}^{commit}`]);
  } catch (cause) {
    throw new Error(
      `Cannot test with version ${OLD_VERSION}: the history of ${root} lacks its commit ${COMMIT}. Clone the repository without --depth, or run \`git fetch --unshallow\``,
      { cause },
    );
  }
}

/** Packages that this version uses in another version, with the name under which the old one is installed. */
const OTHER_VERSIONS = new Map([["lmdb", "lmdb-3"]]);

const installedName = (name: string): string => OTHER_VERSIONS.get(name) ?? name;

/** Links the packages of the repository at `root`, in the versions of 0.1.0. */
async function linkPackages(root: string, target: string): Promise<void> {
  const modules = join(target, "node_modules");
  await mkdir(modules);
  for (const name of await readdir(join(root, "node_modules"))) {
    await symlink(join(root, "node_modules", installedName(name)), join(modules, name));
  }
}

async function requirePackages(root: string, target: string): Promise<void> {
  const { dependencies } = await readManifest(target);
  const missing: string[] = [];
  for (const [name, version] of Object.entries(dependencies ?? {})) {
    if (UNUSED_PACKAGES.has(name)) continue;
    const directory = join(root, "node_modules", installedName(name));
    const isInstalled =
      existsSync(directory) && (await readManifest(directory)).version === version;
    if (!isInstalled) missing.push(`${name}@${version}`);
  }
  if (missing.length === 0) return;
  throw new Error(
    `Cannot test with version ${OLD_VERSION}: expected its packages in ${root}/node_modules: run \`npm install --no-save ${missing.join(" ")}\``,
  );
}

interface Manifest {
  readonly version: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

async function readManifest(directory: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(directory, "package.json"), "utf8")) as Manifest;
}
