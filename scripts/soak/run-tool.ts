import { execFile } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Runs a program of the system to its end.
 *
 * @returns what it printed
 * @throws {Error} with its standard error, if it fails
 */
export function runTool(program: string, parameters: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, [...parameters], { encoding: "utf8" }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else
        reject(new Error(`${program} ${parameters.join(" ")}: ${stderr.trim() || error.message}`));
    });
  });
}

/** Asks again every `pollMs`. @returns whether `isSo` held before `timeoutMs` were over */
export async function waitFor(
  isSo: () => Promise<boolean> | boolean,
  timeoutMs: number,
  pollMs = 20,
): Promise<boolean> {
  const endsMs = performance.now() + timeoutMs;
  while (!(await isSo())) {
    if (performance.now() > endsMs) return false;
    await sleep(pollMs);
  }
  return true;
}
