import { parseDataOptions, USAGE } from "./soak/data/data-options.ts";
import { describeDataReport } from "./soak/data/describe-data-report.ts";
import { runDataSoak } from "./soak/data/run-data-soak.ts";
import { runSoakCommand } from "./soak/soak-command.ts";

/** Runs the soak test of the data path: see `runSoakCommand`. */
export function main(commandLine: readonly string[]): Promise<number> {
  const command = {
    starter: "soak-data.mjs",
    usage: USAGE,
    parse: parseDataOptions,
    faultsOf: () => [],
    run: runDataSoak,
    describe: describeDataReport,
  };
  return runSoakCommand(command, commandLine);
}
