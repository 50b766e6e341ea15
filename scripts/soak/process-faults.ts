import { setTimeout as sleep } from "node:timers/promises";
import { readProcessStat } from "../../shared/platform/procfs.ts";
import { anyOf, type Fault, type FaultOutcome, namesOf, type Soak } from "./fault.ts";
import { waitFor } from "./run-tool.ts";
import type { SoakNode } from "./soak-node.ts";

const PAUSE_MS = 30_000;
const PAUSE_QUICK_MS = 4_000;
const CLOCK_TIMEOUT_MS = 5_000;
const CLOCK_HELD_MS = 2_000;
/** Offsets of the wall clock in seconds: an hour and half a minute, in both directions. */
const JUMPS_SECONDS = [3600, -3600, 30, -30] as const;

async function kill(variant: string, node: SoakNode): Promise<FaultOutcome> {
  await node.signal("SIGKILL");
  const evidence = `ended by ${node.ended?.signal}`;
  await node.start();
  const fired = evidence.endsWith("SIGKILL");
  return { kind: "kill", variant, nodes: namesOf([node]), fired, evidence };
}

async function pause(variant: string, node: SoakNode, soak: Soak): Promise<FaultOutcome> {
  await node.signal("SIGSTOP");
  await sleep(soak.options.quick ? PAUSE_QUICK_MS : PAUSE_MS);
  const state = readProcessStat(node.pid)?.state;
  await node.signal("SIGCONT");
  const evidence = `in state ${state} until the end`;
  return { kind: "pause", variant, nodes: namesOf([node]), fired: state === "T", evidence };
}

/** Moves the wall clocks of the nodes by `seconds`, and back some seconds later. */
async function jump(variant: string, nodes: readonly SoakNode[]): Promise<FaultOutcome> {
  const seconds = anyOf(JUMPS_SECONDS);
  for (const node of nodes) await node.setClock(seconds);
  const hasJumped = async (node: SoakNode, bySeconds: number): Promise<boolean> => {
    const offset = await wallOffsetSeconds(node);
    return offset !== null && Math.abs(offset - bySeconds) < 10;
  };
  const arrived = await Promise.all(
    nodes.map((node) => waitFor(() => hasJumped(node, seconds), CLOCK_TIMEOUT_MS)),
  );
  await sleep(CLOCK_HELD_MS);
  for (const node of nodes) await node.setClock(0);
  await Promise.all(nodes.map((node) => waitFor(() => hasJumped(node, 0), CLOCK_TIMEOUT_MS)));
  const fired = arrived.every(Boolean);
  const evidence = `the Date of the HTTP responses was off by ${seconds} s: ${arrived.join(", ")}`;
  return { kind: "clock-jump", variant, nodes: namesOf(nodes), fired, evidence };
}

/** Returns the clock offset of a node's process. Null if it does not answer. */
async function wallOffsetSeconds(node: SoakNode): Promise<number | null> {
  try {
    const response = await fetch(`http://${node.http}/healthz`, {
      signal: AbortSignal.timeout(2_000),
    });
    await response.arrayBuffer();
    return (Date.parse(response.headers.get("date") ?? "") - Date.now()) / 1000;
  } catch {
    return null;
  }
}

async function followerOf({ cluster }: Soak): Promise<SoakNode> {
  const leader = await cluster.leader();
  return anyOf(cluster.masters.filter((node) => node !== leader));
}

/** Faults that kill a process with SIGKILL. */
export const KILLS: readonly Fault[] = [
  async ({ cluster }) => kill("leader", await cluster.leader()),
  ({ cluster }) => kill("chunkserver", anyOf(cluster.chunkservers)),
  async (soak) => kill("follower", await followerOf(soak)),
];

/** Faults that stop a process with SIGSTOP for a while. */
export const PAUSES: readonly Fault[] = [
  async (soak) => pause("leader", await soak.cluster.leader(), soak),
  async (soak) => pause("follower", await followerOf(soak), soak),
  (soak) => pause("chunkserver", anyOf(soak.cluster.chunkservers), soak),
];

/** Faults that move wall clocks. */
export const CLOCK_JUMPS: readonly Fault[] = [
  async ({ cluster }) => jump("leader", [await cluster.leader()]),
  ({ cluster }) => jump("any", [anyOf(cluster.nodes)]),
  ({ cluster }) => jump("all masters", cluster.masters),
];
