import { once } from "node:events";
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

async function print(context: CommandContext, cluster: LocalCluster): Promise<void> {
  const { output } = context;
  if (output.options.json) {
    await output.json("ashlar.cluster-up/1", {
      directory: cluster.directory,
      cluster_id: cluster.clusterId,
      masters: cluster.masters,
    });
    return;
  }
  const count = (role: string): number => cluster.nodes.filter((node) => node.role === role).length;
  output.note(`${count("master")} masters and ${count("chunkserver")} chunkservers serve`);
  await output.line(`export ASHLAR_CLUSTER=${cluster.directory}`);
}
