import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isAshlarError } from "../shared/base/errors.ts";
import { parseSoakOptions, type SoakOptions, USAGE } from "./soak/options.ts";
import { missingRequirements } from "./soak/requirements.ts";
import { runSoak } from "./soak/run-soak.ts";
import { describeReport } from "./soak/soak-report.ts";

const STARTER = fileURLToPath(new URL("../../scripts/soak-meta.mjs", import.meta.url));
/** Mounts, network and processes of the run end with the first process in these namespaces. */
const NAMESPACES = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];

/**
 * Runs the soak test. Resolves with 0 if all promises held, 1 if not, 2 for wrong usage or a
 * machine that lacks a requirement, 130 if interrupted.
 */
export async function main(commandLine: readonly string[]): Promise<number> {
  let options: SoakOptions | "help";
  try {
    options = parseSoakOptions(commandLine);
  } catch (error) {
    if (!isAshlarError(error)) throw error;
    process.stderr.write(`${error.message}\n\n${USAGE}`);
    return 2;
  }
  if (options === "help") {
    process.stdout.write(USAGE);
    return 0;
  }
  if (options.inside !== null) return runInside(options, options.inside);
  const missing = await missingRequirements(options.faults);
  if (missing.length > 0) {
    const list = missing.join("\n  ");
    process.stderr.write(`Cannot run the soak test: missing on this machine:\n  ${list}\n`);
    return 2;
  }
  return runOutside(options, commandLine);
}

/** Starts the run in its own namespaces, and removes its directory afterwards. */
async function runOutside(options: SoakOptions, commandLine: readonly string[]): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), "ashlar-soak-"));
  const command = [process.execPath, STARTER, ...commandLine, "--inside", directory];
  // The run inside ends when its standard input ends: on a signal, or if this process is killed.
  const child = spawn("unshare", [...NAMESPACES, ...command], {
    stdio: ["pipe", "inherit", "inherit"],
  });
  const interrupt = (): void => {
    child.stdin.end();
  };
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  const status = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve(code ?? 1));
  });
  process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  const isKept = options.keep || (status !== 0 && status !== 130);
  if (!isKept) await rm(directory, { recursive: true, force: true });
  else process.stderr.write(`Logs, journal and disk images: less ${directory}/journal.jsonl\n`);
  return status;
}

async function runInside(options: SoakOptions, directory: string): Promise<number> {
  const stop = new AbortController();
  const interrupt = (): void => stop.abort(new Error("Interrupted"));
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  process.stdin.on("end", interrupt).resume();
  const report = await runSoak({ ...options, directory, signal: stop.signal }, (line) =>
    process.stderr.write(`${line}\n`),
  );
  process.stdout.write(`${options.json ? JSON.stringify(report) : describeReport(report)}\n`);
  process.stdin.pause();
  if (stop.signal.aborted) return 130;
  return report.ok ? 0 : 1;
}
