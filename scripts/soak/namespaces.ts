import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Mounts, network and processes of a run end with the first process in these namespaces. */
const NAMESPACES = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];

/** A soak test that is started in its own namespaces. */
export interface SoakStart {
  /** Path of the script that runs inside, with "--inside DIRECTORY" after its parameters. */
  readonly starter: string;
  readonly commandLine: readonly string[];
  /** Whether the directory is kept even if the run succeeds. */
  readonly isKept: boolean;
}

/**
 * Runs a soak test in its own namespaces and in a new directory, which is removed afterwards unless the run
 * failed.
 *
 * @returns the exit status of the run
 */
export async function runInNamespaces(start: SoakStart): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), "ashlar-soak-"));
  const command = [process.execPath, start.starter, ...start.commandLine, "--inside", directory];
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
  const isKept = start.isKept || (status !== 0 && status !== 130);
  if (!isKept) await rm(directory, { recursive: true, force: true });
  else process.stderr.write(`Logs, journal and disk images: less ${directory}/journal.jsonl\n`);
  return status;
}

/** Returns a signal that aborts when the process is interrupted, or the process outside has ended. */
export function whenInterrupted(): AbortSignal {
  const stop = new AbortController();
  const interrupt = (): void => stop.abort(new Error("Interrupted"));
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  process.stdin.on("end", interrupt).resume();
  return stop.signal;
}
