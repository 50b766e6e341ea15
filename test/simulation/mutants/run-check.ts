import { spawn } from "node:child_process";
import { constants, setPriority } from "node:os";
import type { Check } from "./mutant.ts";
import type { SeedsResult } from "./run-seeds.ts";

/** Result of one check over the sources in a directory. */
export type CheckResult =
  | { readonly kind: "passed" }
  /** The check has detected a violation. `seed` is null for a test. */
  | { readonly kind: "failed"; readonly seed: number | null; readonly reason: string }
  /**
   * The check timed out, or the code does not run. Neither proves that the check detects the bug.
   */
  | { readonly kind: "inconclusive"; readonly reason: string };

/** Timeout of one check, sufficient on the slowest machine. */
const CHECK_TIMEOUT_MS = 10 * 60 * 1_000;
/**
 * Names of errors of invalid code. They show that the mutant is invalid, not that it is detected.
 */
const CODE_ERROR_NAMES = ["ReferenceError", "SyntaxError", "TypeError"];

/** Runs `check` over the sources in `directory`, in a child process with low priority. */
export async function runCheck(directory: string, check: Check): Promise<CheckResult> {
  return check.kind === "test"
    ? runTestCheck(directory, check.file)
    : runSimulationCheck(directory, check);
}

async function runSimulationCheck(
  directory: string,
  check: Extract<Check, { kind: "simulation" }>,
): Promise<CheckResult> {
  const program = "test/simulation/mutants/run-seeds.ts";
  const { stdout, stderr } = await run(directory, [program, check.name, "1", `${check.seedsMax}`]);
  const line = stdout.split("\n").findLast((text) => text.startsWith("{"));
  if (line === undefined) return { kind: "inconclusive", reason: lastLine(stderr) };
  const result = JSON.parse(line) as SeedsResult;
  if (result.kind === "passed") return result;
  const { errorName, message, seed } = result;
  if (CODE_ERROR_NAMES.includes(errorName)) {
    return { kind: "inconclusive", reason: `${errorName}: ${message}` };
  }
  return { kind: "failed", seed, reason: firstLine(message) };
}

async function runTestCheck(directory: string, file: string): Promise<CheckResult> {
  const { stdout, stderr, status } = await run(directory, ["--test-reporter=tap", "--test", file]);
  const didRun = /^# pass [1-9]/m.test(stdout);
  if (status === 0 && didRun) return { kind: "passed" };
  // TAP reports the innermost failing test first, before its suite and its file.
  const failed = stdout.match(/^ *not ok \d+ - (.*)$/m)?.[1];
  const codeError = CODE_ERROR_NAMES.find((name) => stdout.includes(`name: '${name}'`));
  if (failed === undefined || codeError !== undefined) {
    return { kind: "inconclusive", reason: codeError ?? lastLine(stderr || stdout) };
  }
  return { kind: "failed", seed: null, reason: failed };
}

interface ProcessResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number | null;
}

/** Runs Node with `parameters` in `directory`. Resolves when the process has ended. */
function run(directory: string, parameters: readonly string[]): Promise<ProcessResult> {
  // With NODE_TEST_CONTEXT set, the child process would report to the test run of this process.
  const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
  const child = spawn(process.execPath, ["--import=tsx", ...parameters], {
    cwd: directory,
    stdio: ["ignore", "pipe", "pipe"],
    env: environment,
  });
  if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW);
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (bytes: Buffer) => {
    stdout += bytes.toString();
  });
  child.stderr.on("data", (bytes: Buffer) => {
    stderr += bytes.toString();
  });
  let hasTimedOut = false;
  const timeout = setTimeout(() => {
    hasTimedOut = true;
    stderr += `\nThe check did not end within ${CHECK_TIMEOUT_MS} ms`;
    child.kill("SIGKILL");
  }, CHECK_TIMEOUT_MS);
  const onExit = (): void => {
    child.kill("SIGKILL");
  };
  process.once("exit", onExit);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status, signal) => {
      clearTimeout(timeout);
      if (signal !== null && !hasTimedOut) stderr += `\nThe check was ended by ${signal}`;
      process.off("exit", onExit);
      resolve({ stdout, stderr, status });
    });
  });
}

const firstLine = (text: string): string => text.split("\n")[0] ?? "";
const lastLine = (text: string): string => text.trim().split("\n").at(-1) ?? "";
