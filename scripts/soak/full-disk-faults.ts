import { anyOf, type Fault, type FaultOutcome, namesOf, type Soak } from "./fault.ts";
import { waitFor } from "./run-tool.ts";
import type { SoakNode } from "./soak-node.ts";

const NOTICE_TIMEOUT_MS = 20_000;

/**
 * Fills a disk. Its node must report the full disk, the other nodes must continue, and the node
 * must recover after space was freed.
 */
async function fillDisk(variant: string, node: SoakNode, soak: Soak): Promise<FaultOutcome> {
  const logStart = await node.logSize();
  const freeBytes = await node.disk.fill();
  let signs: string[] = [];
  const hasNoticed = await waitFor(async () => {
    signs = await signsOf(node, logStart);
    return signs.length > 0;
  }, NOTICE_TIMEOUT_MS);
  if (!hasNoticed) soak.journal.violation(`${node.name}: does not report a full disk`);
  await node.disk.free();
  // A master is restarted by its operator, as the hint says. A chunkserver continues without a
  // restart.
  if (node.role === "master") {
    if (node.isRunning) await node.signal("SIGTERM");
    await node.start();
  }
  const evidence = `${freeBytes} bytes free; ${signs[0]}`;
  const fired = freeBytes < 64 * 1024;
  return { kind: "full-disk", variant, nodes: namesOf([node]), fired, evidence };
}

/** Returns the signs that an operator can observe: the exit, a warning, not ready. */
async function signsOf(node: SoakNode, logStart: number): Promise<string[]> {
  const signs = await node.complaintsSince(logStart);
  if (!node.isRunning) signs.push(`ended with ${node.ended?.code}`);
  const problem = await node.notReady();
  if (problem !== null) signs.push(`not ready: ${problem}`);
  return signs;
}

/** Faults that fill a disk. */
export const FULL_DISKS: readonly Fault[] = [
  async (soak) => fillDisk("leader", await soak.cluster.leader(), soak),
  (soak) => fillDisk("master", anyOf(soak.cluster.masters), soak),
  (soak) => fillDisk("chunkserver", anyOf(soak.cluster.chunkservers), soak),
];
