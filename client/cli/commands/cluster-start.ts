import { shellWord } from "../../../shared/display/shell-word.ts";
import { LocalCluster } from "../cluster/local-cluster.ts";
import { clusterDirectory } from "../cluster-directory.ts";
import type { CommandContext, RunCommand } from "../command.ts";

export const run: RunCommand = async (context, commandArguments, options) => {
  const { output } = context;
  const [text = ""] = commandArguments;
  const cluster = await LocalCluster.open(await clusterDirectory(context, options));
  const { name } = await cluster.find(text);
  const pid = await cluster.start(name, { acceptsNewServers: options["newServer"] === true });
  const timeoutMs = Number(options["wait"]);
  const isAwaited = timeoutMs > 0;
  const problem = isAwaited ? await wait(context, cluster, { name, pid, timeoutMs }) : null;
  const isServing = isAwaited && problem === null;
  if (output.options.json) {
    await output.json("ashlar.cluster-start/1", { node: name, pid, is_serving: isServing });
    return;
  }
  output.note(`${name} is ${isServing ? "serving" : "running"} as process ${pid}`);
  if (problem === null) return;
  const up = `ashlar cluster up --dir ${shellWord(cluster.directory)}`;
  output.note(`${name} does not serve yet: ${problem}; to start them: ${up}`);
};

/** @returns null if the node serves; otherwise why it cannot until other nodes are started */
async function wait(
  { output, signal, waits }: CommandContext,
  cluster: LocalCluster,
  started: { readonly name: string; readonly pid: number; readonly timeoutMs: number },
): Promise<string | null> {
  const { name, pid, timeoutMs } = started;
  try {
    return await waits.during(name, ({ because }) =>
      cluster.waitForNode(name, { timeoutMs, signal, onWait: because }),
    );
  } catch (error) {
    if (signal.aborted) output.note(`${name} is running as process ${pid}`);
    throw error;
  }
}
