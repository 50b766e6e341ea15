/**
 * Checks the types at every change of a source file, and runs the tests of the changed folders:
 * `npm run dev`. Changes during a run are collected for the next run, so at most one child process
 * runs at the same time. Ctrl-C ends the run and the program.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { watch } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { touchedTests } from "./touched-tests.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const WATCHED = ["master", "chunkserver", "client", "shared", "scripts", "test"];
/** Sources, scripts and scenario files. */
const RELEVANT = /\.(?:ts|mjs|txt|json)$/;
/** Time without a change after which a run starts: editors write several files together. */
const SETTLE_MS = 200;
/** The exit status of a program that SIGINT ended, as shells report it. */
const INTERRUPTED_STATUS = 130;

/** Resolves with the exit status when SIGINT or SIGTERM ends the program. */
export async function main(): Promise<number> {
  const changed = new Set<string>();
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
  let notify = (): void => {};

  const watchers = WATCHED.map((folder) =>
    watch(join(ROOT, folder), { recursive: true }, (_event, name) => {
      const path = `${folder}/${String(name).replaceAll("\\", "/")}`;
      if (!RELEVANT.test(path)) return;
      changed.add(path);
      notify();
    }),
  );
  stop.signal.addEventListener("abort", () => notify());
  console.log(`watching ${WATCHED.join(", ")}: Ctrl-C ends it`);

  await checkTypes(stop.signal);
  while (!stop.signal.aborted) {
    if (changed.size === 0) await new Promise<void>((resolve) => (notify = resolve));
    await settled(changed, stop.signal);
    if (stop.signal.aborted) break;
    const paths = [...changed];
    changed.clear();
    console.log(`\n${paths.length === 1 ? paths[0] : `${paths.length} files`} changed`);
    if (await checkTypes(stop.signal)) await runTests(paths, stop.signal);
  }
  for (const watcher of watchers) watcher.close();
  return INTERRUPTED_STATUS;
}

/** Resolves when no file was added to `changed` for SETTLE_MS, or when `signal` aborts. */
async function settled(changed: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
  let size = -1;
  while (!signal.aborted && size !== changed.size) {
    size = changed.size;
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  }
}

/** Checks the types and prints the errors. Returns whether there are no errors. */
async function checkTypes(signal: AbortSignal): Promise<boolean> {
  const compiler = join(ROOT, "node_modules", "typescript", "bin", "tsc");
  const passed = await runNode([compiler, "--noEmit", "--pretty"], signal);
  if (!signal.aborted) console.log(passed ? "types: passed" : "types: FAILED");
  return passed;
}

async function runTests(paths: readonly string[], signal: AbortSignal): Promise<void> {
  const tests = touchedTests(ROOT, paths);
  if (tests.length === 0) {
    console.log("tests: no quick test belongs to this change");
    return;
  }
  const passed = await runNode([join(ROOT, "scripts", "test.mjs"), "--parts", ...tests], signal);
  if (!signal.aborted) console.log(`tests of ${tests.join(" ")}: ${passed ? "passed" : "FAILED"}`);
}

/**
 * Runs Node until it exits. Resolves with whether the exit status is 0. If `signal` aborts, ends
 * the process and all processes that it started.
 */
function runNode(parameters: readonly string[], signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    // A separate process group: one signal reaches the processes that the tests started.
    const child = spawn(process.execPath, parameters, {
      cwd: ROOT,
      stdio: ["ignore", "inherit", "inherit"],
      detached: process.platform !== "win32",
    });
    const end = (): void => endGroup(child);
    signal.addEventListener("abort", end);
    child.once("exit", (status) => {
      signal.removeEventListener("abort", end);
      resolve(status === 0);
    });
  });
}

function endGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(process.platform === "win32" ? pid : -pid, "SIGTERM");
  } catch {
    // The group ended before the signal.
  }
}
