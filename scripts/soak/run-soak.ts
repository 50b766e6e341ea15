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

/** After a fault the cluster must be whole again within so long. */
const WHOLE_TIMEOUT_MS = 60_000;
/** Before each fault: so many changes, so that there is something to lose. */
const CHANGES_BEFORE_FAULT = 25;
const TRAFFIC_TIMEOUT_MS = 60_000;

/**
 * The whole run, in namespaces of its own. Resolves also when something did not hold; a run that
 * cannot go on is a violation too.
 *
 * @param say told of each fault as it is over
 */
export async function runSoak(
  options: SoakOptions & { readonly directory: string; readonly signal: AbortSignal },
  say: (line: string) => void,
): Promise<SoakReport> {
  const startMs = performance.now();
  const journal = new Journal(join(options.directory, "journal.jsonl"));
  const cluster = new SoakCluster(options.directory);
  const soak: Soak = { cluster, journal, options };
  const workload = new Workload(journal);
  const audit = new Audit(cluster, journal);
  const rounds: Round[] = [];
  try {
    const run = runWhole({ soak, workload, audit, rounds, say });
    await Promise.race([run, whenAborted(options.signal)]);
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    if (!options.signal.aborted) journal.violation(`The run came to an end: ${text}`);
  } finally {
    // Interrupted, it may be in the middle of a fault: then the namespaces end what there is.
    if (!options.signal.aborted) {
      await workload.close().catch(() => {}); // What matters of it has been said.
      await audit.close();
      await cluster.tearDown();
    }
    await journal.close();
  }
  return reportOf({
    seconds: Math.round((performance.now() - startMs) / 1000),
    traffic: workload.tally,
    filesRead: audit.fileCount,
    leaderChanges: Math.max(0, cluster.leaders.length - 1),
    rounds,
    kinds: options.faults,
    violations: journal.violations,
  });
}

interface Parts {
  readonly soak: Soak;
  readonly workload: Workload;
  readonly audit: Audit;
  readonly rounds: Round[];
  readonly say: (line: string) => void;
}

/** Rejects when the run is interrupted. */
function whenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

async function runWhole(parts: Parts): Promise<void> {
  const { soak, workload, audit, rounds } = parts;
  const { cluster, options, journal } = soak;
  await cluster.make(options.faults.includes("clock-jump") ? await faketimeLibrary() : null);
  for (const outcome of await bringUp(soak, parts.say)) rounds.push({ ...outcome, wholeMs: 0 });
  await workload.start(cluster, journal);
  await breakThings(parts);
  await workload.pause();
  await audit.verifyReplicas();
}

/** Load, a fault in the middle of it, whole again, and a look at everything; and again. */
async function breakThings({ soak, workload, audit, rounds, say }: Parts): Promise<void> {
  const { cluster, journal, options } = soak;
  const cases = options.faults.includes("io-error") ? await findIoErrorCases(soak, workload) : [];
  const schedule = new Schedule(soak, cases);
  for (let next = schedule.next(); next !== null; next = schedule.next()) {
    const hasTraffic = await workload.waitForTraffic(CHANGES_BEFORE_FAULT, TRAFFIC_TIMEOUT_MS);
    if (!hasTraffic) journal.violation(`before a ${next.kind}: nothing is acknowledged any more`);
    journal.write("fault begins", { kind: next.kind });
    const outcome = await next.fault(soak);
    const endedMs = performance.now();
    journal.write("fault", { ...outcome });
    const lacking = await cluster.waitUntilWhole(WHOLE_TIMEOUT_MS);
    const wholeMs = lacking === null ? Math.round(performance.now() - endedMs) : null;
    if (lacking !== null) {
      journal.violation(`not whole 60 s after a ${outcome.kind} (${outcome.what}): ${lacking}`);
    }
    rounds.push({ ...outcome, wholeMs });
    await workload.pause();
    await audit.run(workload);
    journal.write("audited", { violations: journal.violations.length });
    workload.resume();
    say(
      `${rounds.length}  ${outcome.kind}: ${outcome.what} (${outcome.nodes.join(" ")}): ${outcome.evidence}; whole after ${wholeMs} ms`,
    );
    if (journal.violations.length > 20) throw new Error("Too many violations to go on");
  }
}
