import { spawn } from "node:child_process";
import { constants, setPriority } from "node:os";
import type { Check } from "./mutant.ts";
import type { SeedsResult } from "./run-seeds.ts";

/** What a check said of the sources in a directory. */
export type Judgement =
  | { readonly kind: "passed" }
  /** `seed` is null for a test. */
  | { readonly kind: "failed"; readonly seed: number | null; readonly what: string }
  /** It came to no judgement: it hangs, or the code cannot even run. That proves nothing. */
  | { readonly kind: "broken"; readonly what: string };

/** A check that takes longer hangs, on the slowest machine. */
const HANG_MS = 10 * 60 * 1_000;
/** What a slip of the mutant itself would throw: no check was needed to notice that. */
const SLIPS = ["ReferenceError", "SyntaxError", "TypeError"];

/** Runs `check` in `directory`, in a process of low priority. */
export async function judge(directory: string, check: Check): Promise<Judgement> {
  return check.kind === "test"
    ? judgeByTest(directory, check.file)
    : judgeBySeeds(directory, check);
}

async function judgeBySeeds(
  directory: string,
  check: Extract<Check, { kind: "simulation" }>,
): Promise<Judgement> {
  const program = "test/simulation/mutants/run-seeds.ts";
  const { stdout, stderr } = await run(directory, [program, check.name, "1", `${check.seedsMax}`]);
  const line = stdout.split("\n").findLast((text) => text.startsWith("{"));
  if (line === undefined) return { kind: "broken", what: lastLine(stderr) };
  const result = JSON.parse(line) as SeedsResult;
  if (result.kind === "passed") return result;
  const { errorName, what, seed } = result;
  if (SLIPS.includes(errorName)) return { kind: "broken", what: `${errorName}: ${what}` };
  return { kind: "failed", seed, what: firstLine(what) };
}

async function judgeByTest(directory: string, file: string): Promise<Judgement> {
  const { stdout, stderr, status } = await run(directory, ["--test-reporter=tap", "--test", file]);
  const didRun = /^# pass [1-9]/m.test(stdout);
  if (status === 0 && didRun) return { kind: "passed" };
  // The innermost test that failed comes first; its file may be named too.
  const failed = stdout.match(/^ *not ok \d+ - (.*)$/m)?.[1];
  const slip = SLIPS.find((name) => stdout.includes(`name: '${name}'`));
  if (failed === undefined || slip !== undefined) {
    return { kind: "broken", what: slip ?? lastLine(stderr || stdout) };
  }
  return { kind: "failed", seed: null, what: failed };
}

interface Ended {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number | null;
}

function run(directory: string, parameters: readonly string[]): Promise<Ended> {
  // Else Node takes the process for a part of the test run that this one may be a part of.
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
  const hang = setTimeout(() => {
    stderr += `\nIt hangs: no end within ${HANG_MS} ms`;
    child.kill("SIGKILL");
  }, HANG_MS);
  const onExit = (): void => {
    child.kill("SIGKILL");
  };
  process.once("exit", onExit);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status) => {
      clearTimeout(hang);
      process.off("exit", onExit);
      resolve({ stdout, stderr, status });
    });
  });
}

const firstLine = (text: string): string => text.split("\n")[0] ?? "";
const lastLine = (text: string): string => text.trim().split("\n").at(-1) ?? "";
