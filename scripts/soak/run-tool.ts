import { execFile } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Runs a system program until it exits. Returns its standard output.
 *
 * @throws {Error} if the program fails. The message contains the standard error of the program.
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

/** Checks `condition` every `pollMs`. Returns whether it held within `timeoutMs`. */
export async function waitFor(
  condition: () => Promise<boolean> | boolean,
  timeoutMs: number,
  pollMs = 20,
): Promise<boolean> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) return false;
    await sleep(pollMs);
  }
  return true;
}
