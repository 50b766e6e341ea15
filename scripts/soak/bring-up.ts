import { join } from "node:path";
import type { FaultOutcome, Soak } from "./fault.ts";
import {
  casesOf,
  failSite,
  type IoErrorCase,
  nameOfCase,
  sitesAtStart,
  sitesUnderLoad,
  tracerTo,
} from "./io-faults.ts";
import { type IoSite, sitesIn } from "./io-sites.ts";
import { waitFor } from "./run-tool.ts";
import type { Workload } from "./workload.ts";

const SERVE_TIMEOUT_MS = 60_000;
/** Number of changes after which each writer has some files with their own extent file. */
const TRACED_LOAD_CHANGES = 800;

/**
 * Starts all nodes. With `io-error` among the faults, some of them only after failed first starts.
 */
export async function bringUp(soak: Soak, print: (line: string) => void): Promise<FaultOutcome[]> {
  const { cluster, options } = soak;
  const outcomes = options.faults.includes("io-error") ? await failFirstStarts(soak, print) : [];
  await cluster.startAll();
  const problem = await cluster.waitUntilWhole(SERVE_TIMEOUT_MS);
  if (problem !== null) throw new Error(`Cannot start the cluster: ${problem}`);
  return outcomes;
}

/**
 * Injects errors into the first start of a node, which creates its identity, log and stores. First
 * traces the start of one master and of one chunkserver. Then the last node of each role is started
 * once for each traced call, and fails at that call.
 */
async function failFirstStarts(soak: Soak, print: (line: string) => void): Promise<FaultOutcome[]> {
  const { cluster, journal } = soak;
  const first = [cluster.node("m1"), cluster.node("c1")];
  const last = [cluster.node("m3"), cluster.node("c4")];
  const traceOf = (name: string): string => join(cluster.directory, `first-calls-${name}`);
  for (const node of cluster.nodes.filter((each) => !last.includes(each))) {
    await node.start(first.includes(node) ? tracerTo(traceOf(node.name)) : []);
  }
  const servers = cluster.chunkservers.length - 1;
  const isServing = await waitFor(async () => {
    const status = await cluster.status().catch(() => null);
    return status?.chunkservers.filter(({ state }) => state === "live").length === servers;
  }, SERVE_TIMEOUT_MS);
  if (!isServing) throw new Error("Cannot start the first nodes: they do not serve");
  const outcomes: FaultOutcome[] = [];
  for (const [index, node] of first.entries()) {
    const { role, dataDirectory } = node;
    const from = { role, dataDirectory, phase: "first start" as const };
    const victim = last[index];
    if (victim === undefined) continue;
    for (const each of selected(soak, casesOf(await sitesIn(traceOf(node.name), from)))) {
      const outcome = await failSite(soak, victim, each);
      journal.write("fault", { ...outcome });
      outcomes.push(outcome);
      print(`first start  ${outcome.variant}: ${outcome.evidence}`);
    }
  }
  // Without the tracer, which slows the node down.
  for (const node of first) await node.signal("SIGTERM");
  return outcomes;
}

/** Returns a case for each call that writes or syncs in a running node. Each must fail once. */
export async function findIoErrorCases(soak: Soak, workload: Workload): Promise<IoErrorCase[]> {
  const { cluster } = soak;
  const sites: IoSite[] = [];
  const load = async (): Promise<void> => {
    await workload.waitForTraffic(TRACED_LOAD_CHANGES, SERVE_TIMEOUT_MS);
  };
  for (const name of ["m2", "c2"]) sites.push(...(await sitesAtStart(soak, cluster.node(name))));
  const leader = await cluster.leader();
  const follower = cluster.masters.find((node) => node !== leader) ?? leader;
  const server = cluster.node("c2");
  for (const traced of [
    { node: leader, role: "leader" },
    { node: follower, role: "follower" },
    { node: server, role: "chunkserver" },
  ] as const) {
    sites.push(...(await sitesUnderLoad(soak, traced, load)));
  }
  const cases = selected(soak, casesOf(sites));
  soak.journal.write("sites", { sites });
  return cases;
}

/** Returns the cases that the options select. */
function selected({ options }: Soak, cases: readonly IoErrorCase[]): IoErrorCase[] {
  return cases.filter((each) => nameOfCase(each).includes(options.ioCases));
}
