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
/** Enough for some files of each writer that have an extent file of their own. */
const TRACED_LOAD_CHANGES = 800;

/** Starts all nodes; with `io-error` among the faults some of them after a first start that failed. */
export async function bringUp(soak: Soak, say: (line: string) => void): Promise<FaultOutcome[]> {
  const { cluster, options } = soak;
  const outcomes = options.faults.includes("io-error") ? await failFirstStarts(soak, say) : [];
  await cluster.startAll();
  const problem = await cluster.waitUntilWhole(SERVE_TIMEOUT_MS);
  if (problem !== null) throw new Error(`The cluster does not come up: ${problem}`);
  return outcomes;
}

/**
 * A first start makes identity, log and stores. One master and one chunkserver do it traced; with
 * what was seen of them, the last of each role fails at every one of its steps, one after the other.
 */
async function failFirstStarts(soak: Soak, say: (line: string) => void): Promise<FaultOutcome[]> {
  const { cluster, journal } = soak;
  const first = [cluster.node("m1"), cluster.node("c1")];
  const last = [cluster.node("m3"), cluster.node("c4")];
  const protocolOf = (name: string): string => join(cluster.directory, `first-calls-${name}`);
  for (const node of cluster.nodes.filter((each) => !last.includes(each))) {
    await node.start(first.includes(node) ? tracerTo(protocolOf(node.name)) : []);
  }
  const servers = cluster.chunkservers.length - 1;
  const isServing = await waitFor(async () => {
    const status = await cluster.status().catch(() => null);
    return status?.chunkservers.filter(({ state }) => state === "live").length === servers;
  }, SERVE_TIMEOUT_MS);
  if (!isServing) throw new Error("The first nodes do not serve");
  const outcomes: FaultOutcome[] = [];
  for (const [index, node] of first.entries()) {
    const { role, dataDirectory } = node;
    const from = { role, dataDirectory, phase: "first start" as const };
    const victim = last[index];
    if (victim === undefined) continue;
    for (const each of chosen(soak, casesOf(await sitesIn(protocolOf(node.name), from)))) {
      const outcome = await failSite(soak, victim, each);
      journal.write("fault", { ...outcome });
      outcomes.push(outcome);
      say(`first start  ${outcome.what}: ${outcome.evidence}`);
    }
  }
  // Without its tracer: it would slow down all that follows.
  for (const node of first) await node.signal("SIGTERM");
  return outcomes;
}

/** Every place where a running node writes or syncs: each is to fail once. */
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
  const cases = chosen(soak, casesOf(sites));
  soak.journal.write("sites", { sites });
  return cases;
}

/** Those that the options ask for. */
function chosen({ options }: Soak, cases: readonly IoErrorCase[]): IoErrorCase[] {
  return cases.filter((each) => nameOfCase(each).includes(options.ioCases));
}
