import { parseSoakOptions, USAGE } from "./soak/options.ts";
import { runSoak } from "./soak/run-soak.ts";
import { runSoakCommand } from "./soak/soak-command.ts";
import { describeReport } from "./soak/soak-report.ts";

/** Runs the soak test of the masters: see `runSoakCommand`. */
export function main(commandLine: readonly string[]): Promise<number> {
  const command = {
    starter: "soak-meta.mjs",
    usage: USAGE,
    parse: parseSoakOptions,
    faultsOf: ({ faults }: { readonly faults: Parameters<typeof runSoak>[0]["faults"] }) => faults,
    run: (options: Parameters<typeof runSoak>[0]) =>
      runSoak(options, (line) => process.stderr.write(`${line}\n`)),
    describe: describeReport,
  };
  return runSoakCommand(command, commandLine);
}
