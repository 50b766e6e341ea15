import { open } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { type LocalNode, nodePaths } from "../cluster/layout.ts";
import { LocalCluster } from "../cluster/local-cluster.ts";
import { logTail } from "../cluster/node-process.ts";
import { clusterDirectory } from "../cluster-directory.ts";
import type { CommandContext, RunCommand } from "../command.ts";

const FOLLOW_POLL_MS = 200;

export const run: RunCommand = async (context, commandArguments, options) => {
  const cluster = await LocalCluster.open(await clusterDirectory(context, options));
  const nodes =
    commandArguments.length === 0
      ? cluster.nodes
      : commandArguments.map((name) => cluster.node(name));
  const prefix = (node: LocalNode): string => (nodes.length === 1 ? "" : `${node.name}: `);
  for (const node of nodes) {
    const lines = await logTail(cluster.directory, node, Number(options["lines"]));
    for (const line of lines) await context.output.line(prefix(node) + line);
  }
  if (options["follow"] !== true) return;
  await Promise.all(
    nodes.map((node) => follow(context, nodePaths(cluster.directory, node.name).log, prefix(node))),
  );
};

/** Prints what is added to the file until the command is stopped. */
async function follow(context: CommandContext, path: string, prefix: string): Promise<void> {
  const file = await open(path, "r");
  try {
    let position = (await file.stat()).size;
    let rest = "";
    const buffer = Buffer.alloc(64 * 1024);
    while (!context.signal.aborted) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
      position += bytesRead;
      const lines = (rest + buffer.toString("utf8", 0, bytesRead)).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) await context.output.line(prefix + line);
      if (bytesRead === 0) await sleep(FOLLOW_POLL_MS);
    }
  } finally {
    await file.close();
  }
}
