// `npm run simulate -- --help`: installs what is missing, builds its own copy, and simulates.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ensureInstalled, ROOT } from "./bootstrap.mjs";

ensureInstalled();
const words = process.argv.slice(2);
process.exitCode = words.some((word) => word.startsWith("--mutants")) ? mutants() : simulate();

/** Runs the mutants, which are planted into copies of the sources. */
function mutants() {
  return run(["--import=tsx", join(ROOT, "scripts", "simulate.ts"), ...words]);
}

/** Runs a compiled copy: a fifth faster than tsx, and edits during the run have no effect. */
function simulate() {
  const copy = mkdtempSync(join(ROOT, "dist.simulate-"));
  try {
    const compiler = join(ROOT, "node_modules", "typescript", "bin", "tsc");
    const settings = ["--noEmit", "false", "--declaration", "false", "--outDir", copy];
    const status = run([compiler, "-p", "tsconfig.json", ...settings]);
    if (status !== 0) return status;
    return run([join(copy, "scripts", "simulate.js"), ...words]);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function run(parameters) {
  const { status, error } = spawnSync(process.execPath, parameters, {
    cwd: ROOT,
    stdio: "inherit",
  });
  if (error) throw error;
  return status ?? 1;
}
