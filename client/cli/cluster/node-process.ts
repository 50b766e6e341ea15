import { spawn } from "node:child_process";
import { open, readFile, rm, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { LocalNode } from "../../../shared/platform/local-cluster-file.ts";
import { hasProcess, readProcessStat } from "../../../shared/platform/procfs.ts";
import { nodePaths } from "./layout.ts";

/** A process that was started; `startTicks` tells it from a later one with the same pid. */
interface ProcessRecord {
  readonly pid: number;
  readonly startTicks: string | null;
}

/** The launcher `scripts/ashlar`, seen from this file in the sources and in dist/. */
async function launcherPath(): Promise<string> {
  for (const up of ["../../../scripts/ashlar", "../../../../scripts/ashlar"]) {
    const path = fileURLToPath(new URL(up, import.meta.url));
    try {
      await readFile(path);
      return path;
    } catch {
      // The other one then.
    }
  }
  throw new AshlarError("INTERNAL", "Cannot find scripts/ashlar beside this program");
}

/** The pid of the node's process, or null if it does not run. */
export async function runningPid(directory: string, node: LocalNode): Promise<number | null> {
  let record: ProcessRecord;
  try {
    record = JSON.parse(await readFile(nodePaths(directory, node.name).process, "utf8"));
  } catch {
    return null;
  }
  const stat = readProcessStat(record.pid);
  if (!hasProcess(record.pid) || stat?.state === "Z") return null;
  const isSame = record.startTicks === null || stat?.startTicks === record.startTicks;
  return isSame ? record.pid : null;
}

/** Starts the node's process, detached, its output appended to its log. Does not wait for it to serve. */
export async function startNode(directory: string, node: LocalNode): Promise<number> {
  const paths = nodePaths(directory, node.name);
  const launcher = await launcherPath();
  const log = await open(paths.log, "a");
  try {
    const child = spawn(process.execPath, [launcher, node.role, "--config", paths.config], {
      detached: true,
      stdio: ["ignore", log.fd, log.fd],
      cwd: "/",
    });
    child.once("error", () => {}); // There is no pid then, which is told below.
    const pid = child.pid;
    if (pid === undefined) throw new AshlarError("INTERNAL", `Cannot start ${node.name}`);
    child.unref();
    const record: ProcessRecord = { pid, startTicks: readProcessStat(pid)?.startTicks ?? null };
    await writeFile(paths.process, JSON.stringify(record));
    return pid;
  } finally {
    await log.close();
  }
}

/** Sends `signal` to the node's process. @returns false if it does not run */
export async function signalNode(
  directory: string,
  node: LocalNode,
  signal: NodeJS.Signals | number,
): Promise<boolean> {
  const pid = await runningPid(directory, node);
  if (pid === null) return false;
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    // It ended between the look and the signal.
    if (error instanceof Error && "code" in error && error.code === "ESRCH") return false;
    throw error;
  }
}

/** Resolves to true when the process is gone, to false if it is still there after `timeoutMs`. */
export async function waitUntilGone(
  directory: string,
  node: LocalNode,
  timeoutMs: number,
): Promise<boolean> {
  const deadlineMs = performance.now() + timeoutMs;
  while ((await runningPid(directory, node)) !== null) {
    if (performance.now() > deadlineMs) return false;
    await sleep(20);
  }
  await rm(nodePaths(directory, node.name).process, { force: true });
  return true;
}

/** The last `lineCount` lines of the node's log. */
export async function logTail(
  directory: string,
  node: LocalNode,
  lineCount: number,
): Promise<string[]> {
  try {
    const text = await readFile(nodePaths(directory, node.name).log, "utf8");
    return text.trimEnd().split("\n").slice(-lineCount);
  } catch {
    return [];
  }
}
