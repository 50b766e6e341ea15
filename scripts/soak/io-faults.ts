import { type ChildProcess, spawn } from "node:child_process";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readProcessStatus } from "../../shared/platform/procfs.ts";
import { type FaultOutcome, namesOf, type Soak } from "./fault.ts";
import {
  type IoSite,
  kindOfFile,
  nameOfCallSite,
  nameOfSite,
  pathsToWatch,
  SYNC_CALLS,
  sitesIn,
  WRITE_CALLS,
} from "./io-sites.ts";
import { waitFor } from "./run-tool.ts";
import type { SoakNode } from "./soak-node.ts";

/** Maximum time until a process reaches a call site. */
const FIRE_TIMEOUT_MS = 20_000;
/** Maximum time until a process reports the error. */
const REPORT_TIMEOUT_MS = 10_000;
/** Maximum time until a process stops after an error that it must not survive. */
const STOP_TIMEOUT_MS = 15_000;
/** Maximum time until a chunkserver detects new space: clients avoid it for up to 30 s. */
const ROOM_TIMEOUT_MS = 60_000;
const ROOM_AGAIN = "The disk has room again";
const ALL_CALLS = [...WRITE_CALLS, ...SYNC_CALLS].join(",");

/** Name of an injected error. */
export type IoErrorName = "EIO" | "ENOSPC";

/** A call site and the error that is injected there. */
export interface IoErrorCase {
  readonly site: IoSite;
  readonly error: IoErrorName;
}

/**
 * Returns a case with EIO for each site, and one with ENOSPC for each site that allocates space.
 */
export function casesOf(sites: readonly IoSite[]): IoErrorCase[] {
  return sites.flatMap((site) => {
    const takesSpace = site.call !== "ftruncate" && WRITE_CALLS.some((call) => call === site.call);
    const cases: IoErrorCase[] = [{ site, error: "EIO" }];
    if (takesSpace) cases.push({ site, error: "ENOSPC" });
    return cases;
  });
}

/** Returns the name of a case: "EIO leader at load: pwrite64 of log/N-N.log". */
export function nameOfCase({ site, error }: IoErrorCase): string {
  return `${error} ${nameOfSite(site)}`;
}

/**
 * Returns the command prefix that runs a program under strace with the same pid and traces its
 * calls.
 */
export function tracerTo(tracePath: string): string[] {
  return ["strace", "-D", "-f", "-y", "-qq", "-o", tracePath, "-e", `trace=${ALL_CALLS}`];
}

/** Returns the call sites that `node` reaches during a start. The node is restarted twice. */
export async function sitesAtStart(soak: Soak, node: SoakNode): Promise<IoSite[]> {
  const tracePath = tracePathOf(soak, node);
  if (node.isRunning) await node.signal("SIGTERM");
  await node.start(tracerTo(tracePath));
  const problem = await soak.cluster.waitUntilWhole(60_000);
  if (problem !== null) throw new Error(`${node.name} does not serve under strace: ${problem}`);
  const { role, dataDirectory } = node;
  const sites = await sitesIn(tracePath, { role, dataDirectory, phase: "start" });
  await rm(tracePath);
  await node.kill(); // Also ends the tracer, which slows the node down.
  await node.start();
  await soak.cluster.waitUntilWhole(60_000);
  return sites;
}

/** Returns the call sites that `node` in the role `role` reaches while `load` runs. */
export async function sitesUnderLoad(
  soak: Soak,
  { node, role }: { readonly node: SoakNode; readonly role: IoSite["role"] },
  load: () => Promise<void>,
): Promise<IoSite[]> {
  const tracePath = tracePathOf(soak, node);
  const tracer = await attach(node, ["-y", "-o", tracePath, "-e", `trace=${ALL_CALLS}`]);
  await load();
  await detach(tracer);
  const { dataDirectory } = node;
  const sites = await sitesIn(tracePath, { role, dataDirectory, phase: "load" });
  await rm(tracePath);
  return sites;
}

function tracePathOf(soak: Soak, node: SoakNode): string {
  return join(soak.cluster.directory, `calls-${node.name}`);
}

/**
 * Injects an error at one call site. At a first start each such call fails, so that the process
 * cannot continue beyond it. In other phases the call fails once in each thread. Afterwards the
 * node does not run, unless its disk was only full and it recovered without a restart.
 */
export async function failSite(
  soak: Soak,
  node: SoakNode,
  { site, error }: IoErrorCase,
): Promise<FaultOutcome> {
  const tracePath = join(soak.cluster.directory, `injected-${node.name}`);
  await rm(tracePath, { force: true });
  const logStart = await node.logSize();
  const isFirstStart = site.phase === "first start";
  const injection = [
    ...["-qq", "-o", tracePath, "-e", `trace=${site.call}`],
    ...["-e", `inject=${site.call}:error=${error}:when=1${isFirstStart ? "+" : ""}`],
    ...(await watched(site, node)).flatMap((path) => ["-P", path]),
  ];
  let tracer: ChildProcess | null = null;
  if (site.phase === "load") {
    tracer = await attach(node, injection);
  } else {
    if (node.isRunning) await node.signal("SIGTERM");
    await node.start(["strace", "-D", "-f", ...injection]);
  }
  // A completed first start reaches no further sites. A node under load reaches sites all the time.
  const isOver = async (): Promise<boolean> => isFirstStart && (await node.notReady()) === null;
  await waitFor(async () => (await isInjected(tracePath)) || (await isOver()), FIRE_TIMEOUT_MS);
  const fired = await isInjected(tracePath);
  const affected: AffectedNode = { soak, node, site, error, logStart };
  const evidence = fired ? await judge(affected) : "the call site was not reached";
  if (tracer !== null) await detach(tracer);
  if (!(fired && (await hasRoomAgain(affected)))) await node.kill();
  await sleep(100); // Time for strace to exit after its process.
  const variant = nameOfCase({ site, error });
  const io = { callSite: `${error} ${nameOfCallSite(site)}`, isFirstStart };
  return { kind: "io-error", variant, nodes: namesOf([node]), fired, evidence, io };
}

/** A node in which the error was injected, and the length of its log before. */
interface AffectedNode extends IoErrorCase {
  readonly soak: Soak;
  readonly node: SoakNode;
  readonly logStart: number;
}

function isAboutDisk(complaint: string): boolean {
  return /disk|space|EIO|ENOSPC|I\/O|input\/output|Cannot (write|sync|append|commit)/i.test(
    complaint,
  );
}

/** Files that a process can work without. It reports the failed write and continues. */
const OPTIONAL_FILES = ["peers.json.N.tmp"];

/**
 * Checks the reaction of the node and returns a description. A process that stops must print a
 * reason. A process that continues must log the error; output of a native library does not count.
 * After EIO a master must stop, and a chunkserver must accept no further writes.
 */
async function judge({ soak, node, site, error, logStart }: AffectedNode): Promise<string> {
  const complaint = async (): Promise<string | undefined> =>
    (await node.complaintsSince(logStart)).find(isAboutDisk);
  const hasReported = async (): Promise<boolean> =>
    !node.isRunning || (await complaint()) !== undefined;
  await waitFor(hasReported, REPORT_TIMEOUT_MS);
  const mustStop = error === "EIO" && !OPTIONAL_FILES.includes(site.file);
  const hasStopped = async (): Promise<boolean> =>
    !node.isRunning || (node.role === "chunkserver" && (await refusesWrites(soak, node)));
  const isCorrect = !mustStop || (await waitFor(hasStopped, STOP_TIMEOUT_MS));
  if (node.isRunning) await node.waitUntilEnded(1_000);
  const violation = (text: string): void =>
    soak.journal.violation(`${node.name}: ${text} after ${nameOfCase({ site, error })}`);
  const reported = await complaint();
  if (!node.isRunning) {
    const { code, signal } = node.ended ?? { code: null, signal: null };
    const output = (await node.outputSince(logStart)).filter(isAboutDisk);
    const last = reported ?? output.find((each) => each.startsWith("ashlar "));
    if (code !== null && last === undefined) violation(`exited with ${code} without a reason`);
    return `exited with ${code ?? signal}: ${last ?? ""}`;
  }
  if (reported === undefined) violation("continued without a report");
  if (!isCorrect) violation("continued to accept writes");
  return reported === undefined
    ? "continued without a report"
    : `continued and logged: ${reported}`;
}

/**
 * Returns whether the chunkserver is not ready, and the leader does not choose it if it knows the
 * server.
 */
async function refusesWrites({ cluster }: Soak, node: SoakNode): Promise<boolean> {
  if ((await node.notReady()) === null) return false;
  const status = await cluster.status().catch(() => null);
  const known = status?.chunkservers.find((server) => server.address === node.address);
  // The heartbeats of a server that could not store its credential are refused: the leader knows
  // only the space of its registration.
  const isAvoided = known === undefined || known.isDiskFailed || known.space.availableBytes === 0;
  return status !== null && isAvoided;
}

/**
 * Returns whether the node is a chunkserver whose disk was only full. It must detect the new space.
 */
async function hasRoomAgain({ soak, node, site, error, logStart }: AffectedNode): Promise<boolean> {
  const isFull = error === "ENOSPC" && site.role === "chunkserver" && node.isRunning;
  if (!isFull || (await node.notReady()) !== null) return false;
  if (site.phase === "first start") return false;
  const isNoticed = await waitFor(() => node.hasLogged(ROOM_AGAIN, logStart), ROOM_TIMEOUT_MS);
  if (!isNoticed) soak.journal.violation(`${node.name}: does not report that it has room again`);
  return isNoticed;
}

/**
 * Returns the paths to watch, including current files of the same kind that did not exist during
 * the trace.
 */
async function watched(site: IoSite, node: SoakNode): Promise<string[]> {
  const names = await readdir(node.dataDirectory, { recursive: true }).catch(() => []);
  const present = names.filter((name) => kindOfFile(name) === site.file);
  const paths = present.length === 0 ? site.paths : present.slice(-40);
  return pathsToWatch({ ...site, paths }, node.dataDirectory);
}

async function isInjected(tracePath: string): Promise<boolean> {
  return (await readFile(tracePath, "utf8").catch(() => "")).includes("(INJECTED)");
}

/** Attaches strace to the running process. Resolves when it is attached. */
async function attach(node: SoakNode, parameters: readonly string[]): Promise<ChildProcess> {
  const tracer = spawn("strace", ["-f", ...parameters, "-p", String(node.pid)], {
    stdio: "ignore",
  });
  const { pid } = node;
  const isHeld = await waitFor(() => readProcessStatus(pid, "TracerPid") !== 0, 5_000);
  if (!isHeld) throw new Error(`Cannot attach strace to ${node.name}`);
  return tracer;
}

/** Detaches strace. The process continues without it. */
async function detach(tracer: ChildProcess): Promise<void> {
  if (tracer.exitCode !== null || tracer.signalCode !== null) return;
  tracer.kill("SIGTERM");
  await new Promise((resolve) => tracer.once("exit", resolve));
}

/** Returns a node in the role of the case: another one for each turn. */
export async function nodeFor(soak: Soak, { site }: IoErrorCase, turn: number): Promise<SoakNode> {
  const { cluster } = soak;
  const pick = (nodes: readonly SoakNode[]): SoakNode => nodes[turn % nodes.length] as SoakNode;
  if (site.role === "chunkserver") return pick(cluster.chunkservers);
  if (site.role === "master") return pick(cluster.masters);
  const leader = await cluster.leader();
  return site.role === "leader" ? leader : pick(cluster.masters.filter((each) => each !== leader));
}
