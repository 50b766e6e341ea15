import { once } from "node:events";
import { formatCount } from "../../../shared/display/format.ts";
import { shellWord } from "../../../shared/display/shell-word.ts";
import type { LocalNode } from "../../../shared/platform/local-cluster-file.ts";
import { numberOf } from "../cluster/layout.ts";
import { LocalCluster } from "../cluster/local-cluster.ts";
import { clusterDirectory } from "../cluster-directory.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";

export const run: RunCommand = async (context, _arguments, options) => {
  const { output } = context;
  const directory = await clusterDirectory(context, options);
  output.note(`starting the cluster in ${directory}`);
  const cluster = await context.waits.during("the cluster", (wait) =>
    up(context, directory, { options, onWait: wait.because }),
  );
  for (const note of sizeNotes(cluster, options)) output.note(note);
  await print(context, cluster);
  if (options["foreground"] !== true) return;
  if (!output.options.json) output.note("Ctrl-C stops the cluster; its state is kept");
  const stopped = async () => context.signal.aborted || once(context.signal, "abort");
  await output.withoutWaits(stopped); // The note says what the command does.
  await context.waits.during("the nodes to stop", (wait) => cluster.down(wait.because));
};

const MASTERS_DEFAULT = 3;
const CHUNKSERVERS_DEFAULT = 4;

/** Starts the cluster. With --foreground, a stop during the start stops the nodes, too. */
async function up(
  { output, signal }: CommandContext,
  directory: string,
  {
    options,
    onWait,
  }: { readonly options: OptionValues; readonly onWait: (reason: string) => void },
): Promise<LocalCluster> {
  try {
    return await LocalCluster.up({
      directory,
      masters: Number(options["masters"] ?? MASTERS_DEFAULT),
      chunkservers: Number(options["chunkservers"] ?? CHUNKSERVERS_DEFAULT),
      basePort: Number(options["basePort"]),
      timeoutMs: Number(options["wait"]),
      acceptsNewServers: options["newServer"] === true,
      signal,
      onWait,
    });
  } catch (error) {
    if (!signal.aborted) throw error;
    if (options["foreground"] === true) await (await LocalCluster.open(directory)).down(onWait);
    else {
      const down = `ashlar cluster down --dir ${shellWord(directory)}`;
      output.note(`the nodes that were started run; to stop them: ${down}`);
    }
    throw error;
  }
}

/** Returns a note for each requested number of nodes that the existing cluster does not have. */
export function sizeNotes(
  cluster: Pick<LocalCluster, "nodes" | "directory">,
  options: OptionValues,
): string[] {
  const notes: string[] = [];
  for (const role of ["master", "chunkserver"] as const) {
    const wanted = options[`${role}s`];
    const count = cluster.nodes.filter((node) => node.role === role).length;
    if (wanted === undefined || wanted === count) continue;
    const has = formatCount(count, role);
    const add = `ashlar cluster add --dir ${shellWord(cluster.directory)} ${role}`;
    notes.push(
      `--${role}s ${wanted} has no effect: the cluster has ${has} already. To add one: ${add}`,
    );
  }
  return notes;
}

/** Returns the line that selects the cluster in a shell, for any name of the directory. */
export const exportLine = (directory: string): string =>
  `export ASHLAR_CLUSTER=${shellWord(directory)}`;

const STATUS_TIMEOUT_MS = 10_000;

function nonMemberNote(node: LocalNode, directory: string): string {
  const word = shellWord(directory);
  const add = `ashlar master add --cluster ${word} ${numberOf(node)}=${node.address}`;
  const stop = `ashlar cluster kill --dir ${word} ${node.name} --signal TERM`;
  return `${node.name} is running but is not a member: it was removed, or it was never added. To add it: ${add}; to stop it: ${stop}`;
}

async function print(context: CommandContext, cluster: LocalCluster): Promise<void> {
  const { output } = context;
  const nonMembers = await cluster.nonMembers(STATUS_TIMEOUT_MS);
  if (output.options.json) {
    await output.json("ashlar.cluster-up/1", {
      directory: cluster.directory,
      cluster_id: cluster.clusterId,
      masters: cluster.masters,
      outsiders: nonMembers.map((node) => node.name),
    });
    return;
  }
  const serving = cluster.nodes.filter((node) => !nonMembers.includes(node));
  const count = (role: string): number => serving.filter((node) => node.role === role).length;
  const masters = formatCount(count("master"), "master");
  const chunkservers = formatCount(count("chunkserver"), "chunkserver");
  output.note(`serving with ${masters} and ${chunkservers}`);
  for (const node of nonMembers) output.note(nonMemberNote(node, cluster.directory));
  await output.line(exportLine(cluster.directory));
}
