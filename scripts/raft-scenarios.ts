/**
 * Runs etcd-io/raft's scenario files against our core: `npm run test:raft-scenarios -- DIR`.
 *
 * DIR has the folders interaction, confchange and quorum with upstream's `testdata`. The files are
 * not part of this repository. Without DIR there is nothing to compare, which is no failure.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ScenarioKind } from "../test/master/raft/scenario-runner/run-scenario.ts";
import { runScenario } from "../test/master/raft/scenario-runner/run-scenario.ts";

const KINDS: readonly ScenarioKind[] = ["interaction", "confchange", "quorum"];

process.exitCode = main(process.argv[2]);

function main(directory: string | undefined): number {
  if (directory === undefined) {
    console.error("usage: raft-scenarios DIR");
    return 2;
  }
  if (!existsSync(directory)) {
    console.log(`No scenarios to compare with: ${directory} does not exist`);
    return 0;
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
