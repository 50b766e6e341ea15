import { join } from "node:path";
import { Audit } from "./audit.ts";
import { bringUp, findIoErrorCases } from "./bring-up.ts";
import type { Soak } from "./fault.ts";
import { Journal } from "./journal.ts";
import type { SoakOptions } from "./options.ts";
import { faketimeLibrary } from "./requirements.ts";
import { Schedule } from "./schedule.ts";
import { SoakCluster } from "./soak-cluster.ts";
import { type Round, reportOf, type SoakReport } from "./soak-report.ts";
import { Workload } from "./workload.ts";

/** Maximum time until the cluster is whole again after a fault. */
const WHOLE_TIMEOUT_MS = 60_000;
/** Changes acknowledged before each fault, so that there is data to lose. */
const CHANGES_BEFORE_FAULT = 25;
const TRAFFIC_TIMEOUT_MS = 60_000;

/**
 * Runs the soak test inside its namespaces. Resolves with the report even if a guarantee did not
 * hold. A run that cannot continue is reported as a violation.
 *
 * @param print called with a line for each fault after it has ended
 */
export async function runSoak(
  options: SoakOptions & { readonly directory: string; readonly signal: AbortSignal },
  print: (line: string) => void,
): Promise<SoakReport> {
  const startMs = performance.now();
  const journal = new Journal(join(options.directory, "journal.jsonl"));
  const cluster = new SoakCluster(options.directory);
  const soak: Soak = { cluster, journal, options };
  const workload = new Workload(journal);
  const audit = new Audit(cluster, journal);
  const rounds: Round[] = [];
  try {
    const run = runAll({ soak, workload, audit, rounds, print });
    await Promise.race([run, whenAborted(options.signal)]);
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    if (!options.signal.aborted) journal.violation(`The run cannot continue: ${text}`);
  } finally {
    // An interrupted run may be in the middle of a fault. Then the namespaces end all processes.
    if (!options.signal.aborted) {
      await workload.close().catch(() => {}); // Failures of the workload are already reported.
      await audit.close();
      await cluster.tearDown();
    }
    await journal.close();
  }
  return reportOf({
    seconds: Math.round((performance.now() - startMs) / 1000),
    traffic: workload.counts,
    filesRead: audit.fileCount,
    leaderChanges: Math.max(0, cluster.leaders.length - 1),
    rounds,
    kinds: options.faults,
    violations: journal.violations,
  });
}

interface RunDeps {
  readonly soak: Soak;
  readonly workload: Workload;
  readonly audit: Audit;
  readonly rounds: Round[];
  readonly print: (line: string) => void;
}

/** Rejects when the run is interrupted. */
function whenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

async function runAll(deps: RunDeps): Promise<void> {
  const { soak, workload, audit, rounds } = deps;
  const { cluster, options, journal } = soak;
  const faketime = options.faults.includes("clock-jump") ? await faketimeLibrary() : null;
  await cluster.make({ faketime });
  for (const outcome of await bringUp(soak, deps.print)) rounds.push({ ...outcome, wholeMs: 0 });
  await workload.start(cluster, journal);
  await injectFaults(deps);
  await workload.pause();
  await audit.verifyReplicas();
}

/** Injects each fault during load, waits for the recovery, and audits the cluster. */
async function injectFaults({ soak, workload, audit, rounds, print }: RunDeps): Promise<void> {
  const { cluster, journal, options } = soak;
  const cases = options.faults.includes("io-error") ? await findIoErrorCases(soak, workload) : [];
  const schedule = new Schedule(soak, cases);
  for (let next = schedule.next(); next !== null; next = schedule.next()) {
    const hasTraffic = await workload.waitForTraffic(CHANGES_BEFORE_FAULT, TRAFFIC_TIMEOUT_MS);
    if (!hasTraffic) journal.violation(`before a ${next.kind}: no change is acknowledged`);
    journal.write("fault begins", { kind: next.kind });
    const outcome = await next.fault(soak);
    const endedMs = performance.now();
    journal.write("fault", { ...outcome });
    const problem = await cluster.waitUntilWhole(WHOLE_TIMEOUT_MS);
    const wholeMs = problem === null ? Math.round(performance.now() - endedMs) : null;
    if (problem !== null) {
      journal.violation(`not whole 60 s after a ${outcome.kind} (${outcome.variant}): ${problem}`);
    }
    rounds.push({ ...outcome, wholeMs });
    await workload.pause();
    await audit.run(workload);
    journal.write("audited", { violations: journal.violations.length });
    workload.resume();
    print(
      `${rounds.length}  ${outcome.kind}: ${outcome.variant} (${outcome.nodes.join(" ")}): ${outcome.evidence}; whole after ${wholeMs} ms`,
    );
    if (journal.violations.length > 20) throw new Error("Too many violations");
  }
}
