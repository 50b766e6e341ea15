/**
 * Installs the dependencies and builds `dist/` in a fresh clone. The code is plain JavaScript that
 * imports only node:*, because it runs before the first installation.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Root directory of the repository. */
export const ROOT = fileURLToPath(new URL("..", import.meta.url));

const COMPILER = join(ROOT, "node_modules", "typescript", "bin", "tsc");
const BUNDLER = join(ROOT, "scripts", "bundle-cli.mjs");
const DIST = join(ROOT, "dist");
/** Contains the fingerprint of the sources that `dist/` was built from. */
const STAMP = join(DIST, ".fingerprint");
const SOURCES = ["master", "chunkserver", "client", "shared", "scripts"];
const SETTINGS = [
  "package.json",
  "package-lock.json",
  "tsconfig.json",
  "tsconfig.build.json",
  "scripts/bundle-cli.mjs",
  "scripts/cli-bundle.cjs",
];

/** Installs and builds what is missing or out of date. Prints one line for each of these two steps. */
export function ensureReady() {
  ensureInstalled();
  ensureBuilt();
}

/**
 * Installs the dependencies, unless each one is installed in the version that `package.json` pins.
 * Never writes the lock file.
 */
export function ensureInstalled() {
  const { dependencies, devDependencies } = readJson(join(ROOT, "package.json"));
  const wanted = Object.entries({ ...dependencies, ...devDependencies });
  if (wanted.every(([name, pin]) => installedVersion(name) === versionOf(pin))) return;

  say("installing the packages of package-lock.json");
  // Not `npm ci`: it deletes node_modules, which another process may be using.
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const status = run(npm, ["install", "--no-save", "--include=dev", "--no-audit", "--no-fund"]);
  if (status !== 0) stop("npm install failed", status);
}

/**
 * Compiles the sources into `dist/` and bundles the CLI, unless `dist/` was built from the same sources. The old `dist/`
 * is kept until the new one is complete. It does not check the types, which takes as long as the rest:
 * `npm run build`, `npm run check` and `npm publish` do.
 */
export function ensureBuilt() {
  const fingerprint = fingerprintOfSources();
  if (existsSync(STAMP) && readFileSync(STAMP, "utf8") === fingerprint) return;

  say("building dist/");
  const fresh = `${DIST}.new.${process.pid}`;
  const stale = `${DIST}.old.${process.pid}`;
  const settings = ["-p", "tsconfig.build.json", "--noCheck", "--outDir", fresh];
  let status = run(process.execPath, [COMPILER, ...settings]);
  if (status === 0) status = run(process.execPath, [BUNDLER, fresh, DIST]);
  if (status === 0) {
    writeFileSync(join(fresh, ".fingerprint"), fingerprint);
    if (existsSync(DIST)) renameSync(DIST, stale);
    renameSync(fresh, DIST);
  }
  rmSync(fresh, { recursive: true, force: true });
  rmSync(stale, { recursive: true, force: true });
  if (status !== 0) stop("the build failed; dist/ is unchanged", status);
}

/**
 * Compiles all sources, with the tests, into `directory`. It does not check the types either. Returns
 * the exit status of the compiler.
 */
export function compileCopy(directory) {
  const settings = ["--noEmit", "false", "--noCheck", "--declaration", "false", "--sourceMap"];
  return run(process.execPath, [
    COMPILER,
    "-p",
    "tsconfig.json",
    ...settings,
    "--outDir",
    directory,
  ]);
}

/** Returns a digest of the path, size and modification time of every file that the build reads. */
function fingerprintOfSources() {
  const files = [...SETTINGS];
  for (const folder of SOURCES) {
    const names = readdirSync(join(ROOT, folder), { recursive: true });
    for (const name of names) if (name.endsWith(".ts")) files.push(join(folder, name));
  }
  const hash = createHash("sha256");
  for (const file of files.sort()) {
    const { size, mtimeMs } = statSync(join(ROOT, file));
    hash.update(`${file} ${size} ${mtimeMs}\n`);
  }
  return hash.digest("hex");
}

/** Returns the version of a pin: "1.2.3", or "npm:name@1.2.3" for a package under another name. */
function versionOf(pin) {
  return pin.startsWith("npm:") ? pin.slice(pin.lastIndexOf("@") + 1) : pin;
}

function installedVersion(name) {
  const manifest = join(ROOT, "node_modules", name, "package.json");
  return existsSync(manifest) ? readJson(manifest).version : null;
}

/** Runs a program. Returns its exit status, or 1 if a signal ended it. */
function run(command, parameters) {
  // Everything is printed to stderr: stdout belongs to the caller, such as `npm pack --json`.
  const options = { cwd: ROOT, stdio: ["inherit", 2, 2], shell: process.platform === "win32" };
  const { status, error } = spawnSync(command, parameters, options);
  if (error) throw error;
  return status ?? 1;
}

function stop(reason, status) {
  say(reason);
  process.exit(status);
}

function readJson(path) {
  return JSON.parse(readFileSync(path, "utf8"));
}

function say(text) {
  console.error(`ashlar: ${text}`);
}
