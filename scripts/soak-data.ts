import { fileURLToPath } from "node:url";
import { isAshlarError } from "../shared/base/errors.ts";
import { type DataSoakOptions, parseDataOptions, USAGE } from "./soak/data/data-options.ts";
import { describeDataReport } from "./soak/data/describe-data-report.ts";
import { runDataSoak } from "./soak/data/run-data-soak.ts";
import { runInNamespaces, whenInterrupted } from "./soak/namespaces.ts";
import { missingRequirements } from "./soak/requirements.ts";

const STARTER = fileURLToPath(new URL("../../scripts/soak-data.mjs", import.meta.url));

/**
 * Runs the soak test of the data path. Resolves with 0 if all promises held, 1 if not, 2 for wrong usage or a
 * machine that lacks a requirement, 130 if interrupted.
 */
export async function main(commandLine: readonly string[]): Promise<number> {
  let options: DataSoakOptions | "help";
  try {
    options = parseDataOptions(commandLine);
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
  const missing = await missingRequirements([]);
  if (missing.length > 0) {
    const list = missing.join("\n  ");
    process.stderr.write(`Cannot run the soak test: missing on this machine:\n  ${list}\n`);
    return 2;
  }
  return runInNamespaces({ starter: STARTER, commandLine, isKept: options.keep });
}

async function runInside(options: DataSoakOptions, directory: string): Promise<number> {
  const signal = whenInterrupted();
  const report = await runDataSoak({ ...options, directory, signal });
  process.stdout.write(`${options.json ? JSON.stringify(report) : describeDataReport(report)}\n`);
  process.stdin.pause();
  if (signal.aborted) return 130;
  return report.ok ? 0 : 1;
}
