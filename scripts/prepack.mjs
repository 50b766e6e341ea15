/**
 * Prepares the package: npm runs this script before it packs or publishes (`prepack`). Builds
 * `dist/` if it is out of date, and writes the bill of materials into it.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureReady, ROOT } from "./bootstrap.mjs";

/** Path of the bill of materials. It is generated, so it is in `dist/`. SPDX recommends its suffix. */
const SBOM = join(ROOT, "dist", "sbom.spdx.json");

ensureReady();
const directory = mkdtempSync(join(tmpdir(), "ashlar-sbom-"));
try {
  writeRuntimeManifests(directory);
  writeFileSync(SBOM, `${JSON.stringify(billOfMaterials(directory), null, 2)}\n`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}

/**
 * Writes package.json and package-lock.json without development dependencies into `directory`.
 * `npm sbom --omit=dev` does not replace this step: npm 11 then also leaves out the runtime
 * dependencies that a development dependency needs too.
 */
function writeRuntimeManifests(directory) {
  const { devDependencies: _, ...manifest } = readJson("package.json");
  const lock = readJson("package-lock.json");
  delete lock.packages[""].devDependencies;
  const named = new Set();
  for (const [path, { dev, devOptional, peer, ...each }] of Object.entries(lock.packages)) {
    if (dev || peer) delete lock.packages[path];
    else if (!devOptional) addAll(named, { ...each.dependencies, ...each.optionalDependencies });
  }
  // Of a development dependency and of an optional one, or of an optional peer: only the former is installed.
  for (const [path, { devOptional }] of Object.entries(lock.packages)) {
    const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
    if (devOptional && !named.has(name)) delete lock.packages[path];
  }
  writeFileSync(join(directory, "package.json"), JSON.stringify(manifest));
  writeFileSync(join(directory, "package-lock.json"), JSON.stringify(lock));
}

function addAll(names, packages) {
  for (const name of Object.keys(packages)) names.add(name);
}

/**
 * Returns the runtime dependencies as an SPDX 2.3 document. npm writes a random namespace and the
 * current time. Both are replaced, so that one commit always packs the same bytes.
 */
function billOfMaterials(cwd) {
  const parameters = ["sbom", "--sbom-format=spdx", "--sbom-type=application"];
  const { documentNamespace, creationInfo, ...content } = JSON.parse(
    outputOf("npm", [...parameters, "--package-lock-only"], cwd),
  );
  const digest = createHash("sha256").update(JSON.stringify(content)).digest("hex");
  const prefix = documentNamespace.slice(0, documentNamespace.lastIndexOf("/") + 1);
  return {
    ...content,
    documentNamespace: `${prefix}${content.name}-${digest.slice(0, 32)}`,
    creationInfo: { ...creationInfo, created: creationTime() },
  };
}

/** Returns SOURCE_DATE_EPOCH if it is set, else the time of the last commit or the current time. */
function creationTime() {
  const epoch =
    process.env["SOURCE_DATE_EPOCH"] ?? outputOf("git", ["log", "-1", "--format=%ct"], ROOT);
  const seconds = Number.parseInt(epoch, 10);
  const date = Number.isNaN(seconds) ? new Date() : new Date(seconds * 1000);
  return `${date.toISOString().slice(0, 19)}Z`; // SPDX 2.3 §6.9 allows no fractions of a second.
}

/** Returns the output of a program. If npm fails, the script exits with its status. Git may be missing. */
function outputOf(command, parameters, cwd) {
  const shell = process.platform === "win32";
  const stdio = ["ignore", "pipe", command === "npm" ? "inherit" : "ignore"];
  const options = { cwd, encoding: "utf8", shell, stdio };
  const { status, stdout } = spawnSync(command, parameters, options);
  if (command === "npm" && status !== 0) process.exit(status ?? 1);
  return stdout ?? "";
}

function readJson(name) {
  return JSON.parse(readFileSync(join(ROOT, name), "utf8"));
}
