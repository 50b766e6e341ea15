import { setTimeout as sleep } from "node:timers/promises";
import { formatCount } from "../../shared/display/format.ts";
import { anyOf, type Fault, type FaultOutcome, type Soak } from "./fault.ts";
import type { SoakNode } from "./soak-node.ts";

/** Duration of a network fault. Longer than two elections. */
const HELD_MS = 5_000;

/** Blocks packets from each "from" to each "to". The clients reach all nodes. */
async function cut(
  variant: string,
  soak: Soak,
  pairs: readonly (readonly [SoakNode, SoakNode])[],
): Promise<FaultOutcome> {
  const { network } = soak.cluster;
  for (const [from, to] of pairs) await network.cut(from.name, to.name);
  await sleep(HELD_MS);
  const lostCount = await network.joinAll();
  const nodes = pairs.map(([from, to]) => `${from.name}->${to.name}`);
  const evidence = `${formatCount(lostCount, "packet")} dropped`;
  return { kind: "partition", variant, nodes, fired: lostCount > 0, evidence };
}

async function slowDown(variant: string, soak: Soak, node: SoakNode): Promise<FaultOutcome> {
  const { network } = soak.cluster;
  await network.slowDown(node.name);
  await sleep(HELD_MS);
  const waitCount = await network.speedUp(node.name);
  const evidence = `packets queued ${formatCount(waitCount, "time")}`;
  return { kind: "slow-link", variant, nodes: [node.name], fired: waitCount > 0, evidence };
}

function othersOf(node: SoakNode, soak: Soak): SoakNode[] {
  return soak.cluster.masters.filter((each) => each !== node);
}

/** Faults that cut connections between nodes. */
export const PARTITIONS: readonly Fault[] = [
  async (soak) => {
    // The deposed leader still receives client requests, so that a stale read could occur.
    const leader = await soak.cluster.leader();
    const pairs = othersOf(leader, soak).flatMap((other) => [
      [leader, other] as const,
      [other, leader] as const,
    ]);
    return cut("leader from its peers", soak, pairs);
  },
  async (soak) => {
    const leader = await soak.cluster.leader();
    const pairs = othersOf(leader, soak).map((other) => [leader, other] as const);
    return cut("leader to its peers, one way", soak, pairs);
  },
  async (soak) => {
    const leader = await soak.cluster.leader();
    const pairs = othersOf(leader, soak).map((other) => [other, leader] as const);
    return cut("peers to their leader, one way", soak, pairs);
  },
  async (soak) => {
    const leader = await soak.cluster.leader();
    const follower = anyOf(othersOf(leader, soak));
    return cut("one way between two masters", soak, [[leader, follower]]);
  },
  (soak) => {
    const chunkserver = anyOf(soak.cluster.chunkservers);
    const reachable = anyOf(soak.cluster.masters);
    const peers = soak.cluster.nodes.filter((node) => node !== chunkserver && node !== reachable);
    return cut(
      "chunkserver from its peers, one way",
      soak,
      peers.map((peer) => [chunkserver, peer] as const),
    );
  },
];

/** Faults that slow down the connections of a node. */
export const SLOW_LINKS: readonly Fault[] = [
  async (soak) => slowDown("leader", soak, await soak.cluster.leader()),
  (soak) => slowDown("chunkserver", soak, anyOf(soak.cluster.chunkservers)),
  (soak) => slowDown("master", soak, anyOf(soak.cluster.masters)),
];
