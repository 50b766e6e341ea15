import type { LocalCluster } from "../../client/cli/cluster/local-cluster.ts";
import { runningPid } from "../../client/cli/cluster/node-process.ts";
import type { LocalNode } from "../../shared/platform/local-cluster-file.ts";

const SETTLE_TIMEOUT_MS = 60_000;

/** Returns the node and the process of the leader, when all members of the cluster respond. */
export async function leaderNode(
  cluster: LocalCluster,
): Promise<{ readonly node: LocalNode; readonly pid: number }> {
  const { masters } = await cluster.waitUntilServing({ timeoutMs: SETTLE_TIMEOUT_MS });
  const leader = masters.find((master) => master.role === "leader");
  const node = cluster.nodes.find((each) => each.address === leader?.address);
  const pid = node === undefined ? null : await runningPid(cluster.directory, node);
  if (node === undefined || pid === null) throw new Error("Cannot find the process of the leader");
  return { node, pid };
}
