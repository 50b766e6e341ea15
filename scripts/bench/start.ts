import { median } from "../statistics.ts";
import type { BenchContext } from "./bench-context.ts";
import { type CommandRun, LAUNCHER, runNode } from "./command-run.ts";
import { atMost } from "./measurement.ts";

const suite = "start";
const ROUNDS = 21;
/** Bounds of a command that calls the cluster once. */
const WALL_BOUND = 1.8;
const CPU_BOUND = 5;

/** The commands in the order of a round: `rm` removes what `mkdir` made. */
const COMMANDS: Readonly<Record<string, (round: number) => readonly string[]>> = {
  stat: () => ["stat", "/"],
  ls: () => ["ls", "/"],
  mkdir: (round) => ["mkdir", `/start-${round}`],
  rm: (round) => ["rm", "-r", `/start-${round}`],
};

/**
 * Measures the start of commands that call the cluster once, in turns with `ashlar --version` and with
 * an empty program of Node: the ratios hold on a busy machine, too.
 */
export async function measureStart(bench: BenchContext): Promise<void> {
  const runs = new Map<string, CommandRun[]>();
  const run = (name: string, nodeArguments: readonly string[]): void => {
    const found = runs.get(name) ?? [];
    found.push(runNode(nodeArguments, bench.cluster.directory));
    runs.set(name, found);
  };
  for (let round = 0; round <= ROUNDS; round += 1) {
    if (round === 1) runs.clear(); // The first round fills the page cache.
    run("node -e 0", ["-e", "0"]);
    run("--version", [LAUNCHER, "--version"]);
    for (const [name, words] of Object.entries(COMMANDS)) run(name, [LAUNCHER, ...words(round)]);
  }
  const wallMs = (name: string): number =>
    median((runs.get(name) ?? []).map((each) => each.wallMs));
  // The mean: one run is measured in steps of 10 ms.
  const cpuMs = (name: string): number =>
    (runs.get(name) ?? []).reduce((sum, each) => sum + each.cpuMs, 0) / ROUNDS;
  for (const name of runs.keys()) {
    bench.report({ suite, name: `${name}, wall time`, value: wallMs(name), unit: "ms" });
    bench.report({ suite, name: `${name}, CPU`, value: cpuMs(name), unit: "ms" });
  }
  for (const name of Object.keys(COMMANDS)) {
    const wall = { value: wallMs(name) / wallMs("--version"), bound: WALL_BOUND };
    bench.report(atMost({ suite, name: `${name}, wall / --version`, unit: "x", ...wall }));
    const cpu = { value: cpuMs(name) / cpuMs("node -e 0"), bound: CPU_BOUND };
    bench.report(atMost({ suite, name: `${name}, CPU / node -e 0`, unit: "x", ...cpu }));
  }
}
