import type { FileSystem } from "../../../client/file-system.ts";
import type { ClusterStatus } from "../../../shared/protocol/fleet-api.ts";
import type { SimulatedProcess } from "./simulated-process.ts";
import { isLeading, membersOf, type SimulatedMaster } from "./simulated-servers.ts";
import { Violation } from "./violation.ts";

/* What keeps a cluster without faults from being healthy. Null: nothing. */

/** Returns a process that is not up. */
export function processProblem(
  processes: readonly SimulatedProcess<AsyncDisposable>[],
): string | null {
  const down = processes.find((each) => !each.isUp);
  return down === undefined ? null : `${down.host} is ${down.state}`;
}

/** Returns how the masters differ from a group that agrees. @param masters the expected voters */
export function mastersProblem(masters: readonly SimulatedMaster[]): string | null {
  const statuses = masters.map((each) => each.running?.master.consensus.status());
  if (statuses.filter((status) => status?.isReady === true).length !== 1) return "no leader";
  const members = membersOf(masters.find((each) => isLeading(each)));
  const expected = masters.map(({ slot }) => `${slot.memberId} voter`).sort();
  if (members.join() !== expected.join()) return `the members are ${members}, not ${expected}`;
  const applied = new Set(statuses.map((status) => status?.appliedIndex));
  return applied.size > 1 ? `members have applied ${[...applied].join(", ")}` : null;
}

/** Returns what the leader reports. */
export function statusProblem(
  status: ClusterStatus | undefined,
  serverCount: number,
): string | null {
  if (status?.chunkservers.length !== serverCount) return "a chunkserver is missing";
  // The clocks of the simulated machines differ by seconds.
  const problems = status.health.reasons.filter((reason) => !/^the (clock|time) of /.test(reason));
  return problems.length === 0 ? null : problems.join("; ");
}

/**
 * Verifies all replicas of all files.
 *
 * @returns whether a replica is corrupt or missing
 * @throws {Violation} if a file cannot be read
 */
export async function hasBadReplica(fileSystem: FileSystem): Promise<boolean> {
  let isBad = false;
  for await (const found of fileSystem.verify("/", { allReplicas: true })) {
    if (!found.isReadable) throw new Violation(`${Buffer.from(found.path)} is lost`);
    isBad ||= found.kind === "file" && found.badReplicaCount > 0;
  }
  return isBad;
}
