import { once } from "node:events";
import type { LocalNode } from "../../../shared/platform/local-cluster-file.ts";
import { numberOf } from "../cluster/layout.ts";
import { LocalCluster } from "../cluster/local-cluster.ts";
import { clusterDirectory } from "../cluster-directory.ts";
import type { CommandContext, RunCommand } from "../command.ts";

export const run: RunCommand = async (context, _arguments, options) => {
  const { output } = context;
  const directory = await clusterDirectory(context, options);
  output.note(`starting the cluster in ${directory}`);
  const cluster = await LocalCluster.up({
    directory,
    masters: Number(options["masters"]),
    chunkservers: Number(options["chunkservers"]),
    basePort: Number(options["basePort"]),
    timeoutMs: Number(options["wait"]),
  });
  await print(context, cluster);
  if (options["foreground"] !== true) return;
  if (!output.options.json) output.note("Ctrl-C stops the cluster; its state stays");
  if (!context.signal.aborted) await once(context.signal, "abort");
  await cluster.down();
};

const STATUS_TIMEOUT_MS = 10_000;

function aboutOutsider(node: LocalNode): string {
  const add = `ashlar master add ${numberOf(node)}=${node.address}`;
  return `${node.name} runs and is no member: it was removed, or waits to be added. Back: ${add}; away: ashlar cluster kill ${node.name} --signal TERM`;
}

async function print(context: CommandContext, cluster: LocalCluster): Promise<void> {
  const { output } = context;
  const outsiders = await cluster.nonMembers(STATUS_TIMEOUT_MS);
  if (output.options.json) {
    await output.json("ashlar.cluster-up/1", {
      directory: cluster.directory,
      cluster_id: cluster.clusterId,
      masters: cluster.masters,
      outsiders: outsiders.map((node) => node.name),
    });
    return;
  }
  const serving = cluster.nodes.filter((node) => !outsiders.includes(node));
  const count = (role: string): number => serving.filter((node) => node.role === role).length;
  output.note(`${count("master")} masters and ${count("chunkserver")} chunkservers serve`);
  for (const node of outsiders) output.note(aboutOutsider(node));
  await output.line(`export ASHLAR_CLUSTER=${cluster.directory}`);
}
