import { setTimeout as sleep } from "node:timers/promises";
import { anyOf, type Fault, type FaultOutcome, namesOf, type Soak } from "./fault.ts";
import type { SoakNode } from "./soak-node.ts";

/** Maximum time until a process whose disk is dead stops. */
const STOP_TIMEOUT_MS = 15_000;
const DARK_MS = 200;

/**
 * Cuts the power of some machines at the same time: their processes stop, their disks keep only
 * synced data, and then the disks and the processes start again.
 *
 * The processes are stopped first, so none can acknowledge anything after its disk is gone, as in a
 * real power cut.
 */
async function cutPower(variant: string, nodes: readonly SoakNode[]): Promise<FaultOutcome> {
  await Promise.all(nodes.map((node) => node.signal("SIGSTOP")));
  await Promise.all(nodes.map((node) => node.disk.shutDown()));
  await Promise.all(nodes.map((node) => node.kill()));
  await Promise.all(nodes.map((node) => node.disk.unmount()));
  await sleep(DARK_MS);
  for (const node of nodes) {
    await node.disk.mount();
    await node.start();
  }
  const evidence = "the file system answered EIO";
  return { kind: "power-cut", variant, nodes: namesOf(nodes), fired: true, evidence };
}

/** Kills the disk of a running process: each call fails with EIO, and the process still runs. */
async function killDisk(variant: string, node: SoakNode, soak: Soak): Promise<FaultOutcome> {
  const logStart = await node.logSize();
  await node.disk.shutDown();
  const ended = await node.waitUntilEnded(STOP_TIMEOUT_MS);
  const complaints = await node.complaintsSince(logStart);
  if (ended === null && complaints.length === 0) {
    soak.journal.violation(`${node.name}: continued with a dead disk without a report`);
  }
  await node.kill();
  await node.disk.unmount();
  await node.disk.mount();
  await node.start();
  const end = ended === null ? "continued and complained" : `exited with ${ended.code}`;
  const nodes = namesOf([node]);
  return { kind: "dead-disk", variant, nodes, fired: true, evidence: `${end}: ${complaints[0]}` };
}

const cutLeader: Fault = async ({ cluster }) => cutPower("leader", [await cluster.leader()]);
const cutMaster: Fault = ({ cluster }) => cutPower("master", [anyOf(cluster.masters)]);
const cutServer: Fault = ({ cluster }) => cutPower("chunkserver", [anyOf(cluster.chunkservers)]);
const cutMasters: Fault = ({ cluster }) => cutPower("all masters", cluster.masters);
const cutServers: Fault = ({ cluster }) => cutPower("all chunkservers", cluster.chunkservers);
const cutEverything: Fault = ({ cluster }) => cutPower("everything", cluster.nodes);
const cutTwoMasters: Fault = async ({ cluster }) => {
  const leader = await cluster.leader();
  const follower = anyOf(cluster.masters.filter((node) => node !== leader));
  return cutPower("leader and follower", [leader, follower]);
};

/** Power cuts. Single machines are more frequent than groups, as in practice. */
export const POWER_CUTS: readonly Fault[] = [
  ...[cutLeader, cutServer, cutMasters, cutMaster, cutLeader, cutEverything],
  ...[cutLeader, cutServer, cutTwoMasters, cutMaster, cutServer, cutServers],
];

/** Faults that kill the disk of a running process. */
export const DEAD_DISKS: readonly Fault[] = [
  async (soak) => killDisk("leader", await soak.cluster.leader(), soak),
  (soak) => killDisk("chunkserver", anyOf(soak.cluster.chunkservers), soak),
  (soak) => killDisk("master", anyOf(soak.cluster.masters), soak),
];
