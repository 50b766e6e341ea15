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
import type { SoakCluster } from "./soak-cluster.ts";
import type { SoakNode } from "./soak-node.ts";
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
 * traces one master and one chunkserver. Then the last node of each role is started once for each
 * traced call, and fails at that call.
 */
async function failFirstStarts(soak: Soak, print: (line: string) => void): Promise<FaultOutcome[]> {
  const { cluster } = soak;
  const ofMasters = await sitesOfFounder(soak);
  for (const node of cluster.masters.slice(0, -1)) await node.start();
  const outcomes = await failEach(soak, { node: cluster.node("m3"), sites: ofMasters }, print);
  await cluster.node("m3").start();
  await cluster.inviteChunkservers();
  const ofChunkservers = await sitesOfNewServer(soak);
  const last = { node: cluster.node("c4"), sites: ofChunkservers };
  return [...outcomes, ...(await failEach(soak, last, print))];
}

/**
 * Returns the call sites that the last master reaches while the cluster is founded. All founders
 * must run for that (decision 13), so the cluster is founded once for the trace, and the masters are
 * emptied again.
 */
async function sitesOfFounder({ cluster }: Soak): Promise<IoSite[]> {
  const traced = cluster.node("m3");
  const tracePath = tracePathOf(cluster, traced);
  for (const node of cluster.masters) {
    await node.start(node === traced ? tracerTo(tracePath) : []);
  }
  const isFounded = await waitFor(async () => {
    const reasons = await Promise.all(cluster.masters.map((node) => node.notReady()));
    return reasons.every((reason) => reason === null);
  }, SERVE_TIMEOUT_MS);
  for (const node of cluster.masters) await node.kill();
  if (!isFounded)
    throw new Error("Cannot found the cluster under strace: the masters do not serve");
  const { role, dataDirectory } = traced;
  const sites = await sitesIn(tracePath, { role, dataDirectory, phase: "first start" });
  for (const node of cluster.masters) await node.empty();
  return sites;
}

/**
 * Returns the call sites that the first chunkserver reaches. All chunkservers but the last one run
 * afterwards.
 */
async function sitesOfNewServer({ cluster }: Soak): Promise<IoSite[]> {
  const traced = cluster.node("c1");
  const tracePath = tracePathOf(cluster, traced);
  const servers = cluster.chunkservers.slice(0, -1);
  for (const node of servers) {
    await node.start(node === traced ? tracerTo(tracePath) : []);
  }
  const isServing = await waitFor(async () => {
    const status = await cluster.status().catch(() => null);
    return status?.chunkservers.filter(({ state }) => state === "live").length === servers.length;
  }, SERVE_TIMEOUT_MS);
  if (!isServing) throw new Error("Cannot start the first chunkservers: they do not serve");
  await traced.signal("SIGTERM"); // Also ends the tracer, which slows the node down.
  await traced.start();
  const { role, dataDirectory } = traced;
  const sites = await sitesIn(tracePath, { role, dataDirectory, phase: "first start" });
  // Last: a chunkserver that cannot commit to its index continues and enrols. It would have passed
  // the later steps of a first start.
  const isCommit = ({ call }: IoSite): boolean => call === "writev";
  return [...sites.filter((site) => !isCommit(site)), ...sites.filter(isCommit)];
}

function tracePathOf(cluster: SoakCluster, node: SoakNode): string {
  return join(cluster.directory, `first-calls-${node.name}`);
}

/** Starts `node` once for each selected case, and injects the error. */
async function failEach(
  soak: Soak,
  { node, sites }: { readonly node: SoakNode; readonly sites: readonly IoSite[] },
  print: (line: string) => void,
): Promise<FaultOutcome[]> {
  const outcomes: FaultOutcome[] = [];
  for (const each of selected(soak, casesOf(sites))) {
    const outcome = await failSite(soak, node, each);
    soak.journal.write("fault", { ...outcome });
    outcomes.push(outcome);
    print(`first start  ${outcome.variant}: ${outcome.evidence}`);
  }
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
