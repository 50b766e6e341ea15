import { LocalCluster } from "../cluster/local-cluster.ts";
import { clusterDirectory } from "../cluster-directory.ts";
import type { RunCommand } from "../command.ts";

export const run: RunCommand = async (context, commandArguments, options) => {
  const { output } = context;
  const [text = ""] = commandArguments;
  const cluster = await LocalCluster.open(await clusterDirectory(context, options));
  const { name } = await cluster.find(text);
  const pid = await cluster.start(name, { acceptsNewServers: options["newServer"] === true });
  if (output.options.json) await output.json("ashlar.cluster-start/1", { node: name, pid });
  else output.note(`${name} is running as process ${pid}`);
};
