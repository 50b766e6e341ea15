import { type ChildProcess, spawn } from "node:child_process";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readProcessStatus } from "../../shared/platform/procfs.ts";
import { type FaultOutcome, namesOf, type Soak } from "./fault.ts";
import {
  type IoSite,
  kindOfFile,
  nameOfPlace,
  nameOfSite,
  pathsToWatch,
  SYNC_CALLS,
  sitesIn,
  WRITE_CALLS,
} from "./io-sites.ts";
import { waitFor } from "./run-tool.ts";
import type { SoakNode } from "./soak-node.ts";

/** How long a process takes to come by a site. */
const FIRE_TIMEOUT_MS = 20_000;
/** … and how long it then may take to say what happened, and to give up if it must. */
const SAY_TIMEOUT_MS = 10_000;
const GIVE_UP_TIMEOUT_MS = 15_000;
/** With room again a chunkserver notices it within so long: clients shun it for up to 30 s. */
const ROOM_TIMEOUT_MS = 60_000;
const ROOM_AGAIN = "The disk has room again";
const ALL_CALLS = [...WRITE_CALLS, ...SYNC_CALLS].join(",");

export type IoErrorName = "EIO" | "ENOSPC";

/** A site and the error that it is to meet. */
export interface IoErrorCase {
  readonly site: IoSite;
  readonly error: IoErrorName;
}

/** Every site once with EIO, and those that take space once with ENOSPC. */
export function casesOf(sites: readonly IoSite[]): IoErrorCase[] {
  return sites.flatMap((site) => {
    const takesSpace = site.call !== "ftruncate" && WRITE_CALLS.some((call) => call === site.call);
    const cases: IoErrorCase[] = [{ site, error: "EIO" }];
    if (takesSpace) cases.push({ site, error: "ENOSPC" });
    return cases;
  });
}

/** "EIO leader at load: pwrite64 of log/N-N.log". */
export function nameOfCase({ site, error }: IoErrorCase): string {
  return `${error} ${nameOfSite(site)}`;
}

/** Runs what follows it under the same pid and notes its calls. */
export function tracerTo(protocol: string): string[] {
  return ["strace", "-D", "-f", "-y", "-qq", "-o", protocol, "-e", `trace=${ALL_CALLS}`];
}

/** Sites that `node` comes by as it starts; it is restarted for it, twice. */
export async function sitesAtStart(soak: Soak, node: SoakNode): Promise<IoSite[]> {
  const protocol = protocolOf(soak, node);
  if (node.isRunning) await node.signal("SIGTERM");
  await node.start(tracerTo(protocol));
  const problem = await soak.cluster.waitUntilWhole(60_000);
  if (problem !== null) throw new Error(`${node.name} does not serve under strace: ${problem}`);
  const { role, dataDirectory } = node;
  const sites = await sitesIn(protocol, { role, dataDirectory, phase: "start" });
  await rm(protocol);
  await node.kill(); // With its tracer, which would slow down all that follows.
  await node.start();
  await soak.cluster.waitUntilWhole(60_000);
  return sites;
}

/** Sites that `node`, which runs as `role`, comes by while `meanwhile` goes on. */
export async function sitesUnderLoad(
  soak: Soak,
  { node, role }: { readonly node: SoakNode; readonly role: IoSite["role"] },
  meanwhile: () => Promise<void>,
): Promise<IoSite[]> {
  const protocol = protocolOf(soak, node);
  const tracer = await attach(node, ["-y", "-o", protocol, "-e", `trace=${ALL_CALLS}`]);
  await meanwhile();
  await detach(tracer);
  const { dataDirectory } = node;
  const sites = await sitesIn(protocol, { role, dataDirectory, phase: "load" });
  await rm(protocol);
  return sites;
}

function protocolOf(soak: Soak, node: SoakNode): string {
  return join(soak.cluster.directory, `calls-${node.name}`);
}

/**
 * One call site fails: at a first start as long as the process lives, so that it takes no step
 * beyond, else once in every thread that comes by. The node does not run after it, unless its disk
 * was only full and it went on by itself.
 */
export async function failSite(
  soak: Soak,
  node: SoakNode,
  { site, error }: IoErrorCase,
): Promise<FaultOutcome> {
  const protocol = join(soak.cluster.directory, `injected-${node.name}`);
  await rm(protocol, { force: true });
  const logStart = await node.logSize();
  const isFirstStart = site.phase === "first start";
  const injection = [
    ...["-qq", "-o", protocol, "-e", `trace=${site.call}`],
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
  // Nothing more comes by a first start that is over; a start goes on under load.
  const isOver = async (): Promise<boolean> => isFirstStart && (await node.notReady()) === null;
  await waitFor(async () => (await isInjected(protocol)) || (await isOver()), FIRE_TIMEOUT_MS);
  const fired = await isInjected(protocol);
  const injured: Injured = { soak, node, site, error, logStart };
  const evidence = fired ? await judge(injured) : "never came by";
  if (tracer !== null) await detach(tracer);
  if (!(fired && (await hasRoomAgain(injured)))) await node.kill();
  await sleep(100); // strace, which has nothing left to trace, ends.
  const what = nameOfCase({ site, error });
  const io = { place: `${error} ${nameOfPlace(site)}`, isFirstStart };
  return { kind: "io-error", what, nodes: namesOf([node]), fired, evidence, io };
}

/** A process that has met the error, and where its log ended before. */
interface Injured extends IoErrorCase {
  readonly soak: Soak;
  readonly node: SoakNode;
  readonly logStart: number;
}

function isAboutDisk(complaint: string): boolean {
  return /disk|space|EIO|ENOSPC|I\/O|input\/output|Cannot (write|sync|append|commit)/i.test(
    complaint,
  );
}

/** Files that a process can do without: it says that one could not be written, and goes on. */
const DISPENSABLE = ["peers.json.N.tmp"];

/**
 * What was seen of it. A process that gives up says why. One that lives on says so in its log (what
 * a native library prints is not its word); after EIO a master ends and a chunkserver takes no more
 * writes, so neither goes on as if nothing had been.
 */
async function judge({ soak, node, site, error, logStart }: Injured): Promise<string> {
  const complaint = async (): Promise<string | undefined> =>
    (await node.complaintsSince(logStart)).find(isAboutDisk);
  const hasSpoken = async (): Promise<boolean> =>
    !node.isRunning || (await complaint()) !== undefined;
  await waitFor(hasSpoken, SAY_TIMEOUT_MS);
  const mustStop = error === "EIO" && !DISPENSABLE.includes(site.file);
  const hasStopped = async (): Promise<boolean> =>
    !node.isRunning || (node.role === "chunkserver" && (await takesNothing(soak, node)));
  const isRight = !mustStop || (await waitFor(hasStopped, GIVE_UP_TIMEOUT_MS));
  if (node.isRunning) await node.waitUntilEnded(1_000);
  const blame = (text: string): void =>
    soak.journal.violation(`${node.name}: ${text} after ${nameOfCase({ site, error })}`);
  const said = await complaint();
  if (!node.isRunning) {
    const { code, signal } = node.ended ?? { code: null, signal: null };
    const words = (await node.lastWordsSince(logStart)).filter(isAboutDisk);
    const last = said ?? words.find((each) => each.startsWith("ashlar "));
    if (code !== null && last === undefined) blame(`ended with ${code} and said nothing`);
    return `ended with ${code ?? signal}: ${last ?? ""}`;
  }
  if (said === undefined) blame("lived on and said nothing");
  if (!isRight) blame("goes on as if nothing had been");
  return said === undefined ? "lived on and said nothing" : `lived on and said: ${said}`;
}

/** The chunkserver says that it is not ready, and the leader has heard why if it knows the server. */
async function takesNothing({ cluster }: Soak, node: SoakNode): Promise<boolean> {
  if ((await node.notReady()) === null) return false;
  const status = await cluster.status().catch(() => null);
  const known = status?.chunkservers.find((server) => server.address === node.address);
  return status !== null && (known === undefined || known.isDiskFailed);
}

/** Whether it is a chunkserver that only lacked space; then it must notice that it has some again. */
async function hasRoomAgain({ soak, node, site, error, logStart }: Injured): Promise<boolean> {
  const isFull = error === "ENOSPC" && site.role === "chunkserver" && node.isRunning;
  if (!isFull || (await node.notReady()) !== null) return false;
  if (site.phase === "first start") return false;
  const isNoticed = await waitFor(() => node.hasLogged(ROOM_AGAIN, logStart), ROOM_TIMEOUT_MS);
  if (!isNoticed) soak.journal.violation(`${node.name}: never says that it has room again`);
  return isNoticed;
}

/** Also files of the kind that are there now and were not when the site was found. */
async function watched(site: IoSite, node: SoakNode): Promise<string[]> {
  const names = await readdir(node.dataDirectory, { recursive: true }).catch(() => []);
  const present = names.filter((name) => kindOfFile(name) === site.file);
  const paths = present.length === 0 ? site.paths : present.slice(-40);
  return pathsToWatch({ ...site, paths }, node.dataDirectory);
}

async function isInjected(protocol: string): Promise<boolean> {
  return (await readFile(protocol, "utf8").catch(() => "")).includes("(INJECTED)");
}

/** Attaches strace to the running process, and resolves once it holds it. */
async function attach(node: SoakNode, parameters: readonly string[]): Promise<ChildProcess> {
  const tracer = spawn("strace", ["-f", ...parameters, "-p", String(node.pid)], {
    stdio: "ignore",
  });
  const { pid } = node;
  const isHeld = await waitFor(() => readProcessStatus(pid, "TracerPid") !== 0, 5_000);
  if (!isHeld) throw new Error(`strace does not attach to ${node.name}`);
  return tracer;
}

/** The process goes on without it. */
async function detach(tracer: ChildProcess): Promise<void> {
  if (tracer.exitCode !== null || tracer.signalCode !== null) return;
  tracer.kill("SIGTERM");
  await new Promise((resolve) => tracer.once("exit", resolve));
}

/** Where the case is to be tried, of those that play its part: another one each turn. */
export async function nodeFor(soak: Soak, { site }: IoErrorCase, turn: number): Promise<SoakNode> {
  const { cluster } = soak;
  const pick = (nodes: readonly SoakNode[]): SoakNode => nodes[turn % nodes.length] as SoakNode;
  if (site.role === "chunkserver") return pick(cluster.chunkservers);
  if (site.role === "master") return pick(cluster.masters);
  const leader = await cluster.leader();
  return site.role === "leader" ? leader : pick(cluster.masters.filter((each) => each !== leader));
}
