import { type ChildProcess, spawn } from "node:child_process";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type FaultOutcome, namesOf, type Soak } from "./fault.ts";
import {
  type IoSite,
  kindOfFile,
  nameOfSite,
  pathsToWatch,
  SYNC_CALLS,
  sitesIn,
  WRITE_CALLS,
} from "./io-sites.ts";
import { waitFor } from "./run-tool.ts";
import type { SoakNode } from "./soak-node.ts";

/** How long a process under load takes to come by a site. */
const FIRE_TIMEOUT_MS = 20_000;
/** … and how long it then may take to give up or to say what happened. */
const GIVE_UP_TIMEOUT_MS = 8_000;
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

/** Runs what follows it under the same pid and notes its calls. */
export function tracerTo(protocol: string): string[] {
  return ["strace", "-D", "-f", "-y", "-qq", "-o", protocol, "-e", `trace=${ALL_CALLS}`];
}

/** Sites that `node` comes by while `meanwhile` goes on; it is restarted for it. */
export async function sitesOf(
  soak: Soak,
  node: SoakNode,
  meanwhile: () => Promise<void>,
): Promise<IoSite[]> {
  const protocol = join(soak.cluster.directory, `calls-${node.name}`);
  const from = { role: node.role, dataDirectory: node.dataDirectory };
  if (node.isRunning) await node.signal("SIGTERM");
  await node.start(tracerTo(protocol));
  const problem = await soak.cluster.waitUntilWhole(60_000);
  if (problem !== null) throw new Error(`${node.name} does not serve under strace: ${problem}`);
  const atStart = await sitesIn(protocol, { ...from, phase: "start" });
  await rm(protocol);
  await node.kill();
  await node.start();
  await soak.cluster.waitUntilWhole(60_000);
  const tracer = await attach(node, ["-y", "-o", protocol, "-e", `trace=${ALL_CALLS}`]);
  await meanwhile();
  await detach(tracer);
  const underLoad = await sitesIn(protocol, { ...from, phase: "load" });
  return [...atStart, ...underLoad];
}

/** One call site fails once in every thread that comes by. The node does not run after it. */
export async function failSite(
  soak: Soak,
  node: SoakNode,
  { site, error }: IoErrorCase,
): Promise<FaultOutcome> {
  const protocol = join(soak.cluster.directory, `injected-${node.name}`);
  await rm(protocol, { force: true });
  const logStart = await node.logSize();
  const injection = [
    ...["-qq", "-o", protocol, "-e", `trace=${site.call}`],
    ...["-e", `inject=${site.call}:error=${error}:when=1`],
    ...(await watched(site, node)).flatMap((path) => ["-P", path]),
  ];
  let tracer: ChildProcess | null = null;
  if (site.phase === "load") {
    tracer = await attach(node, injection);
  } else {
    if (node.isRunning) await node.signal("SIGTERM");
    await node.start(["strace", "-D", "-f", ...injection]);
  }
  await waitFor(
    async () =>
      (await isInjected(protocol)) || (site.phase !== "load" && (await node.notReady()) === null),
    FIRE_TIMEOUT_MS,
  );
  const fired = await isInjected(protocol);
  if (fired) await waitUntilSaid(node, logStart);
  const story = await judge(soak, node, { site, error, fired, logStart });
  if (tracer !== null) await detach(tracer);
  await node.kill();
  await sleep(100); // strace, which has nothing left to trace, ends.
  const what = `${error} ${nameOfSite(site)}`;
  return { kind: "io-error", what, nodes: namesOf([node]), fired, evidence: story };
}

/** Resolves when the process has ended, or a second after it has complained. */
async function waitUntilSaid(node: SoakNode, logStart: number): Promise<void> {
  const hasSpoken = async (): Promise<boolean> =>
    !node.isRunning || (await node.complaintsSince(logStart)).some(isAboutDisk);
  if (await waitFor(hasSpoken, GIVE_UP_TIMEOUT_MS)) await node.waitUntilEnded(1_000);
}

function isAboutDisk(complaint: string): boolean {
  return /disk|space|EIO|ENOSPC|I\/O|input\/output|Cannot (write|sync|append|commit)/i.test(
    complaint,
  );
}

/** What was seen of it; a violation if the process swallowed it. */
async function judge(
  soak: Soak,
  node: SoakNode,
  { site, error, fired, logStart }: IoErrorCase & { fired: boolean; logStart: number },
): Promise<string> {
  const complaints = await node.complaintsSince(logStart);
  if (!fired) return "never came by";
  const said = complaints.find(isAboutDisk);
  if (!node.isRunning) return `ended with ${node.ended?.code ?? node.ended?.signal}: ${said ?? ""}`;
  if (said !== undefined) return `lived on and said: ${said}`;
  soak.journal.violation(
    `${node.name}: lived on after ${error} ${nameOfSite(site)} and said nothing`,
  );
  return "lived on and said nothing";
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
  const isHeld = await waitFor(async () => {
    const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
    return !/TracerPid:\s+0\n/.test(status);
  }, 5_000);
  if (!isHeld) throw new Error(`strace does not attach to ${node.name}`);
  return tracer;
}

/** The process goes on without it. */
async function detach(tracer: ChildProcess): Promise<void> {
  if (tracer.exitCode !== null || tracer.signalCode !== null) return;
  tracer.kill("SIGTERM");
  await new Promise((resolve) => tracer.once("exit", resolve));
}

/** Where the case is to be tried: the leader for a master's, but not always. */
export async function nodeFor(soak: Soak, { site }: IoErrorCase, turn: number): Promise<SoakNode> {
  const { cluster } = soak;
  if (site.role === "chunkserver") {
    return cluster.chunkservers[turn % cluster.chunkservers.length] as SoakNode;
  }
  return turn % 2 === 0
    ? await cluster.leader()
    : (cluster.masters[turn % cluster.masters.length] as SoakNode);
}
