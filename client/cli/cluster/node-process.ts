import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:fs";
import { open, readFile, rm, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { LocalNode } from "../../../shared/platform/local-cluster-file.ts";
import { hasProcess, readProcessStat } from "../../../shared/platform/procfs.ts";
import { readTextFile } from "../../../shared/platform/readable-file.ts";
import { nodePaths } from "./layout.ts";

const { O_APPEND, O_CREAT, O_NONBLOCK, O_WRONLY } = constants;
const TERMINATE_TIMEOUT_MS = 15_000;
const KILL_TIMEOUT_MS = 5_000;
const PROCESS_FILE_BYTES_MAX = 64 * 1024;

/** Content of process.json: the process of a node. */
interface ProcessRecord {
  readonly pid: number;
  /** Start time, which distinguishes the process from a later one with the same pid. */
  readonly startTicks: string | null;
}

/**
 * Returns the path of the launcher, scripts/ashlar.cjs, relative to this file in client/ or in dist/.
 */
async function launcherPath(): Promise<string> {
  for (const up of ["../../../scripts/ashlar.cjs", "../../../../scripts/ashlar.cjs"]) {
    const path = fileURLToPath(new URL(up, import.meta.url));
    try {
      await readFile(path);
      return path;
    } catch {
      // Try the other path.
    }
  }
  throw new AshlarError(
    "INTERNAL",
    "Cannot find scripts/ashlar.cjs in the directory of this program",
  );
}

/** Returns the pid of the node's process; null if it is not running. */
export async function runningPid(directory: string, node: LocalNode): Promise<number | null> {
  let record: ProcessRecord;
  try {
    const options = { bytesMax: PROCESS_FILE_BYTES_MAX, isWaitRefused: true };
    record = JSON.parse(await readTextFile(nodePaths(directory, node.name).process, options));
  } catch {
    return null;
  }
  const stat = readProcessStat(record.pid);
  if (!hasProcess(record.pid) || stat?.state === "Z") return null;
  const isSame = record.startTicks === null || stat?.startTicks === record.startTicks;
  return isSame ? record.pid : null;
}

/** Options of `startNode`. */
export interface StartOptions {
  /**
   * For a chunkserver that has not enrolled. In the environment, so that no other user of the machine sees
   * it.
   */
  readonly joinToken?: string | undefined;
  /** Receives the process, before it can exit. */
  readonly onStarted?: (child: ChildProcess) => void;
}

/**
 * Starts the process of a node, detached, with its output appended to the node's log. Resolves
 * before the node serves.
 *
 * @returns the pid
 */
export async function startNode(
  directory: string,
  node: LocalNode,
  { joinToken, onStarted }: StartOptions = {},
): Promise<number> {
  const paths = nodePaths(directory, node.name);
  const launcher = await launcherPath();
  const log = await open(paths.log, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK);
  try {
    const child = spawn(process.execPath, [launcher, node.role, "--config", paths.config], {
      detached: true,
      stdio: ["ignore", log.fd, log.fd],
      cwd: "/",
      ...(joinToken === undefined ? {} : { env: { ...process.env, ASHLAR_JOIN_TOKEN: joinToken } }),
    });
    child.once("error", () => {}); // Without a pid, the error is thrown below.
    const pid = child.pid;
    if (pid === undefined) throw new AshlarError("INTERNAL", `Cannot start ${node.name}`);
    onStarted?.(child);
    child.unref();
    const record: ProcessRecord = { pid, startTicks: readProcessStat(pid)?.startTicks ?? null };
    await writeFile(paths.process, JSON.stringify(record));
    return pid;
  } finally {
    await log.close();
  }
}

/** Sends `signal` to the process of a node. @returns false if it is not running */
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
    // The process exited after the check above.
    if (error instanceof Error && "code" in error && error.code === "ESRCH") return false;
    throw error;
  }
}

/** Resolves to true when the process has exited, to false if it still runs after `timeoutMs`. */
export async function waitForExit(
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

/** How a process ended. "running": it has survived SIGKILL, as a process that waits for a disk does. */
export type StopResult = "stopped" | "killed" | "running";

/** Stops a node. Kills it if it still runs after TERMINATE_TIMEOUT_MS. */
export async function stopNode(directory: string, node: LocalNode): Promise<StopResult> {
  if (!(await signalNode(directory, node, "SIGTERM"))) return "stopped";
  // A process stopped by SIGSTOP handles SIGTERM only after SIGCONT.
  await signalNode(directory, node, "SIGCONT");
  if (await waitForExit(directory, node, TERMINATE_TIMEOUT_MS)) return "stopped";
  await signalNode(directory, node, "SIGKILL");
  return (await waitForExit(directory, node, KILL_TIMEOUT_MS)) ? "killed" : "running";
}
