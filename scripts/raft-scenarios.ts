/**
 * Runs the scenario files of etcd-io/raft against the Raft core of Ashlar:
 * `RAFT_SCENARIOS=DIR npm run test:raft-scenarios`, or `npm run test:raft-scenarios -- DIR`.
 *
 * DIR contains the folders interaction, confchange and quorum with upstream's `testdata`. The files
 * are not part of this repository: without DIR the run is skipped, and its exit status is 0.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ScenarioKind } from "../test/master/raft/scenario-runner/run-scenario.ts";
import { runScenario } from "../test/master/raft/scenario-runner/run-scenario.ts";

const KINDS: readonly ScenarioKind[] = ["interaction", "confchange", "quorum"];

process.exitCode = main(process.argv[2] ?? process.env["RAFT_SCENARIOS"]);

function main(directory: string | undefined): number {
  if (directory === undefined) {
    console.log(
      "skipped: RAFT_SCENARIOS does not name the folder of etcd-io/raft's scenario files",
    );
    return 0;
  }
  if (!existsSync(directory)) {
    console.error(`No such directory: ${directory}`);
    return 2;
  }
  const results = KINDS.flatMap((kind) => runFolder(kind, join(directory, kind)));
  const passedCount = results.filter((passed) => passed).length;
  console.log(`${passedCount} of ${results.length} scenario files pass`);
  return passedCount === results.length ? 0 : 1;
}

function runFolder(kind: ScenarioKind, folder: string): readonly boolean[] {
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder).filter((name) => name.endsWith(".txt"));
  return names.sort().map((name) => runFile(kind, folder, name));
}

function runFile(kind: ScenarioKind, folder: string, name: string): boolean {
  const { failure, directiveCount } = runScenario(kind, readFileSync(join(folder, name), "utf8"));
  const title = `${kind}/${name}`;
  if (failure === null) {
    console.log(`pass  ${title} (${directiveCount} directives)`);
    return true;
  }
  console.log(`FAIL  ${title}:${failure.line} ${failure.directive}`);
  console.log(`--- expected\n${failure.expected}--- actual\n${failure.actual}---`);
  return false;
}
