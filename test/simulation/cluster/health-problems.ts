import type { ClusterStatus } from "../../../shared/protocol/fleet-api.ts";
import type { SimulatedProcess } from "./simulated-process.ts";
import { isLeading, membersOf, type SimulatedMaster } from "./simulated-servers.ts";

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
