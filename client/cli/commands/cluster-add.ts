import { LocalCluster } from "../cluster/local-cluster.ts";
import { clusterDirectory } from "../cluster-directory.ts";
import type { RunCommand } from "../command.ts";

export const run: RunCommand = async (context, commandArguments, options) => {
  const { output, signal } = context;
  const role = commandArguments[0] as "master" | "chunkserver";
  const cluster = await LocalCluster.open(await clusterDirectory(context, options));
  const node = await context.waits.during(`the new ${role}`, (wait) =>
    cluster.add(role, {
      basePort: Number(options["basePort"]),
      timeoutMs: Number(options["wait"]),
      signal,
      onWait: wait.because,
    }),
  );
  if (output.options.json) {
    await output.json("ashlar.cluster-add/1", { node: node.name, address: node.address });
  } else output.note(`${node.name} is serving at ${node.address}`);
};
