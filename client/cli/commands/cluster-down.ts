import { LocalCluster } from "../cluster/local-cluster.ts";
import { clusterDirectory } from "../cluster-directory.ts";
import type { RunCommand } from "../command.ts";

export const run: RunCommand = async (context, _arguments, options) => {
  const { output } = context;
  const cluster = await LocalCluster.open(await clusterDirectory(context, options));
  const killed = await context.waits.during("the nodes to stop", (wait) =>
    cluster.down(wait.because),
  );
  for (const name of killed) output.warn(`${name} did not stop in time and was killed`);
  if (output.options.json) {
    await output.json("ashlar.cluster-down/1", { directory: cluster.directory, killed });
  } else output.note(`stopped; the state remains in ${cluster.directory}`);
};
