import { fileURLToPath } from "node:url";
import { isAshlarError } from "../shared/base/errors.ts";
import { runInNamespaces, whenInterrupted } from "./soak/namespaces.ts";
import { parseSoakOptions, type SoakOptions, USAGE } from "./soak/options.ts";
import { missingRequirements } from "./soak/requirements.ts";
import { runSoak } from "./soak/run-soak.ts";
import { describeReport } from "./soak/soak-report.ts";

const STARTER = fileURLToPath(new URL("../../scripts/soak-meta.mjs", import.meta.url));

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
  return runInNamespaces({ starter: STARTER, commandLine, isKept: options.keep });
}

async function runInside(options: SoakOptions, directory: string): Promise<number> {
  const signal = whenInterrupted();
  const report = await runSoak({ ...options, directory, signal }, (line) =>
    process.stderr.write(`${line}\n`),
  );
  process.stdout.write(`${options.json ? JSON.stringify(report) : describeReport(report)}\n`);
  process.stdin.pause();
  if (signal.aborted) return 130;
  return report.ok ? 0 : 1;
}
